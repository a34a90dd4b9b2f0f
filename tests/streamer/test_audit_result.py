"""The section `audit` of a camera's file: what is no result of an audit is refused in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pipelines.camera_rules import CameraRules
from pipelines.rules import LineSpec
from streamer.config.audit_result import AuditResult
from streamer.config.schema import CameraConfig, Config
from streamer.config.store import ConfigStore, revise
from streamer.errors import ConfigError

RESULT: dict[str, Any] = {
    "counted": 212,
    "true_count": 219,
    "low": 209,
    "high": 231.5,
    "answers": 30,
    "at": "2026-11-29T14:00:00Z",
    "model": "default (in the package)",
}


def test_a_result_is_written_as_it_is_read() -> None:
    result = AuditResult.model_validate(RESULT)
    assert result.model_dump(mode="json", exclude_defaults=True) == RESULT


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"low": 220}, "low 220, true_count 219 and high 231.5 are not in this order"),
        ({"high": 218}, "are not in this order"),
        ({"counted": 10}, "more than 20 times off counted 10"),
        ({"counted": 5000}, "more than 20 times off counted 5000"),
        ({"high": 5000}, "up to 5000, is more than 20 times off counted 212"),
        ({"counted": 0}, "greater than or equal to 1"),
        ({"low": -1}, "greater than or equal to 0"),
        ({"high": float("nan")}, "finite"),
        ({"high": 1e12}, "less than or equal to"),
        ({"answers": 0}, "greater than or equal to 1"),
        ({"at": "2026-11-29T14:00:00"}, "timezone"),
        ({"model": ""}, "at least 1 character"),
        ({"sha256": "abc"}, "pattern"),
        ({"truth": 3}, "not permitted"),
    ],
)
def test_what_no_audit_can_have_found_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AuditResult.model_validate({**RESULT, **changed})


def test_a_bad_section_is_told_with_file_line_and_key(tmp_path: Path) -> None:
    (tmp_path / "streamer.yaml").write_text("{}\n")
    (tmp_path / "cameras.d").mkdir()
    camera = {"name": "gate", "url": "synthetic:street", "audit": {**RESULT, "low": 500}}
    (tmp_path / "cameras.d" / "gate.yaml").write_text(yaml.safe_dump(camera, sort_keys=False))
    with pytest.raises(ConfigError, match=r"gate\.yaml:3: audit: low 500, true_count 219"):
        ConfigStore(tmp_path).load()


def test_an_audit_is_a_revision_and_moves_no_line(tmp_path: Path) -> None:
    line = LineSpec(name="door", points=((0.1, 0.5), (0.9, 0.5)))
    camera = CameraConfig(name="gate", url="synthetic:street", rules=CameraRules(lines=(line,)))
    revise(Config(cameras=(camera,)), tmp_path)
    audited = camera.model_copy(update={"audit": AuditResult.model_validate(RESULT)})
    revised, rev = revise(Config(cameras=(audited,)), tmp_path)
    assert (rev, revised.cameras[0].rules.lines[0].rev) == (2, 1)
