"""The audit of the dependencies: what fails the build, and what does not."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from tests.conftest import REPO

REPORT = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]},
        {"name": "sad", "version": "2.0", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]},
        {"name": "streamer", "skip_reason": "distribution marked as editable"},
    ],
    "fixes": [],
}


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(REPO / ".ci" / "audit.py"))


def test_a_vulnerability_with_a_mended_release_is_told_from_one_without(script: dict[str, Any]) -> None:
    mended, unmended = script["findings"](REPORT)
    assert mended == ["old 1.0: PYSEC-1, mended in 1.1: raise it in pyproject.toml"]
    assert unmended == ["sad 2.0: PYSEC-2, without a mended release"]


@pytest.mark.parametrize(("answer", "code", "words"), [
    (REPORT, 1, "PYSEC-1"),
    ({"dependencies": REPORT["dependencies"][2:]}, 0, "PYSEC-2"),
    ("the database is not reached", 0, "no audit of the dependencies: the database is not reached"),
])  # fmt: skip
def test_the_build_fails_for_what_can_be_mended_alone(
    script: dict[str, Any], capsys: pytest.CaptureFixture[str], answer: Any, code: int, words: str
) -> None:
    main = script["main"]
    main.__globals__["audited"] = lambda *_: answer
    assert main("python") == code
    assert words in capsys.readouterr().out
