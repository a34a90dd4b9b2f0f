"""The configuration reference and the code say the same, in both directions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from click import Context
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pipelines.alerts.rule import When
from pipelines.rules import CalibrationSpec, ClassLimit, LineSpec, check_name
from pipelines.spec import SceneSpec
from streamer.api.http import metric_table
from streamer.cli import reference as commands
from streamer.cli.camera.settings import LIMITS, SETTABLE
from streamer.cli.main import COMMANDS, cli
from streamer.config.audit_result import AuditResult
from streamer.config.schema import CameraConfig, Config, RedisConfig, RolesConfig
from streamer.errors import Exit
from streamer.sinks import SINKS, sink_class
from streamer.sinks.base import SinkSettings
from tests.patience import patient

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
ROW = re.compile(r"^\| `(?P<key>[\w.\[\]]+)` \| (?P<default>[^|]+?) \| (?P<rest>.*) \|$", re.MULTILINE)
NOT_ABSOLUTE = {"state_dir": "/var/lib/streamer", "runtime_dir": "/run/streamer"}  # filled in by the store


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a model with its default, a list's item as `key[]` and a class's limit as `.CLASS`."""
    for name, field in model.model_fields.items():
        inner = [a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type)]
        section = next((a for a in inner if issubclass(a, BaseModel)), None)
        if section in (CalibrationSpec, SceneSpec, AuditResult, RedisConfig, RolesConfig, When):
            yield f"{prefix}{name}", None
            yield from keys(section, f"{prefix}{name}.")
            continue
        if section is ClassLimit:
            yield from keys(section, f"{prefix}{name}.CLASS.")
        elif section is not None and section is field.annotation:
            yield from keys(section, f"{prefix}{name}.")
        else:
            default = field.get_default(call_default_factory=True)
            yield f"{prefix}{name}", default
            if section is not None:
                yield from keys(section, f"{prefix}{name}[].")


def shown(key: str, default: Any) -> str:
    """A default as the reference writes it."""
    if key in NOT_ABSOLUTE:
        return f"`{NOT_ABSOLUTE[key]}`"
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, str) and default:
        return f"`{default}`"
    text = json.dumps(default)
    return f"`{text.removesuffix('.0')}`"


def documented(page: str) -> dict[str, tuple[str, str]]:
    text = (REFERENCE / page).read_text()
    text = text[text.index("## streamer.yaml") : text.index("## Secrets")]
    return {m["key"]: (m["default"], m["rest"]) for m in ROW.finditer(text)}


def test_every_key_is_documented_with_its_default_and_none_that_does_not_exist() -> None:
    expected = {key: shown(key, default) for key, default in keys(Config) if not key.startswith("cameras")}
    expected |= {key: shown(key, default) for key, default in keys(CameraConfig)}
    expected |= {f"sinks[].{key}": "required" for key in SinkSettings.model_fields} | {
        "sinks[].name": "`kind`"
    }
    for kind in SINKS:
        for key, default in keys(sink_class(kind).Settings):
            if key not in SinkSettings.model_fields:
                expected[f"sinks[{kind}].{key}"] = shown(key, default)
    assert {key: default for key, (default, _) in documented("configuration.md").items()} == expected


def test_what_camera_set_calls_a_key_is_documented_beside_it() -> None:
    rows = documented("configuration.md")
    for short, key in SETTABLE.items():
        assert rows[key][1].startswith(f"`{short}` | "), key
    for limit in LIMITS:
        assert rows[f"rules.limits.CLASS.{limit}"][1].startswith(f"`limits.CLASS.{limit}` | ")


def test_every_exit_code_is_documented_with_its_name() -> None:
    text = (REFERENCE / "exit-codes.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (\w+) \|", text, re.MULTILINE))
    assert rows == {str(int(code)): code.name for code in Exit}


def test_directions_in_the_documents_have_legal_names_and_the_guide_tells_key_from_name() -> None:
    pages = {page: page.read_text() for page in REFERENCE.parent.rglob("*.md") if page.name != "commands.md"}
    given = re.compile(r"(?:left_to_right: |right_to_left: |--left-to-right |--right-to-left )([\w-]+)")
    names = [name for text in pages.values() for name in given.findall(text)]
    assert len(names) >= 4
    for name in names:
        check_name(name, "direction")
    guide = pages[REFERENCE.parent / "operator-guide.md"]
    line = LineSpec(name="door", points=((0, 0), (1, 1)))
    assert f"names are `{line.left_to_right}` and `{line.right_to_left}`" in " ".join(guide.split())


@pytest.mark.parametrize(("module", "page"), [(commands, "commands.md"), (metric_table, "metrics.md")])
def test_a_page_that_is_written_from_the_code_says_what_it_says_now(module: ModuleType, page: str) -> None:
    """In a process of its own: click keeps what it first said of a command, as of `--help`."""
    command = [sys.executable, "-m", module.__name__]
    written = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=True).stdout
    told = f"run: python -m {module.__name__} > docs/reference/{page}"
    assert (REFERENCE / page).read_text() == written, told


def test_every_command_that_help_shows_is_in_the_reference() -> None:
    page = commands.text()
    missing = [name for name in COMMANDS if f"## streamer {name}\n" not in page]
    assert [name for name in missing if not cli.get_command(Context(cli), name).hidden] == []  # type: ignore[union-attr]
