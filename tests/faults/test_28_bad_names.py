"""Fault 28: names with `../`, newlines, Unicode or 300 characters, and duplicates, are refused at the door.

No file, folder or socket appears anywhere for a name that was refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamer.api.apply_change import apply_change
from streamer.cli.main import cli
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, Exit

NAMES = [
    "../gate",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    ".",
    "..",
    ".hidden",
    "-gate",
    "gate\n",
    "gate\nurl: x",
    "gate\x00",
    "gate\x1b[31m",
    "gate ",
    "",
    " ",
    "Gate",
    "gäte",
    "ｇate",
    "門",
    "gate\u202e",
    "gate{x}",
    "gate:events",
    "gate*",
    "a_b",
    "a.b",
    "x" * 64,
    "x" * 300,
    "$(id)",
    "%s",
]
POINTS = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\nruntime_dir: {tmp_path}/run\n")
    found = ConfigStore(folder)
    apply_change(found, {"op": "camera.put", "camera": {"name": "gate", "url": "synthetic:street"}})
    apply_change(found, {"op": "line.put", "camera": "gate", "line": {"name": "door", "points": POINTS[:2]}})
    return found


def everything(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else b"" for p in root.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
def test_the_command_refuses_it_everywhere(store: ConfigStore, tmp_path: Path, name: str) -> None:
    before = everything(tmp_path)
    commands = [
        ("camera", "add", "--no-probe", "--", name, "synthetic:street"),
        ("camera", "rename", "gate", "--", name),
        ("camera", "set", "--username", "u", "--", name),
        ("camera", "show", "--", name),
        ("camera", "snapshot", "--", name),
        ("camera", "remove", "--", name),
        ("line", "add", "gate", "--", name, "0.1,0.1", "0.9,0.1"),
        ("zone", "add", "gate", "--", name, "0.1,0.1", "0.9,0.1", "0.9,0.9"),
        ("mask", "add", "gate", "--", name, "0.1,0.1", "0.9,0.1", "0.9,0.9"),
        ("line", "add", "gate", "new", "0.1,0.1", "0.9,0.1", "--left-to-right", name or " "),
        ("line", "remove", "gate", "--", name),
        ("line", "add", "--", name, "new", "0.1,0.1", "0.9,0.1"),
    ]
    for command in commands:
        result = CliRunner().invoke(cli, ["--config", str(store.folder), *command])
        assert result.exit_code == Exit.CONFIG, (command, result.output)
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1, "no newline of a name reaches the terminal"
        assert "\x1b" not in result.stderr, "no control sequence either"
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_change_from_a_socket_is_refused_too(store: ConfigStore, tmp_path: Path, name: str) -> None:
    before = everything(tmp_path)
    changes: list[dict[str, Any]] = [
        {"op": "camera.put", "camera": {"name": name, "url": "synthetic:street"}},
        {"op": "camera.rename", "name": "gate", "to": name},
        {"op": "camera.rename", "name": name, "to": "yard"},
        {"op": "camera.remove", "name": name},
        {"op": "camera.set", "name": "gate", "values": {"pipeline": name}},
        {"op": "line.put", "camera": "gate", "line": {"name": name, "points": POINTS[:2]}},
        {"op": "line.put", "camera": name, "line": {"name": "new", "points": POINTS[:2]}},
        {"op": "zone.put", "camera": "gate", "zone": {"name": name, "points": POINTS}},
    ]
    for change in changes:
        with pytest.raises(ConfigError) as caught:
            apply_change(store, change)
        assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", [n for n in NAMES if "/" not in n and "\x00" not in n and 0 < len(n) < 250])
def test_a_file_of_that_name_is_refused(store: ConfigStore, name: str) -> None:
    path = store.cameras_dir / f"{name}.yaml"
    path.write_text("name: gate\nurl: synthetic:street\n")
    if path.name.startswith("."):
        assert [c.name for c in store.load().cameras] == ["gate"], "a hidden file is no camera"
        return
    with pytest.raises(ConfigError):
        store.load()


def test_duplicates_are_refused(store: ConfigStore, tmp_path: Path) -> None:
    before = everything(tmp_path)
    for command in (
        ("camera", "add", "gate", "synthetic:street", "--no-probe"),
        ("line", "add", "gate", "door", "0.2,0.1", "0.9,0.1"),
        ("camera", "rename", "gate", "gate"),
    ):
        result = CliRunner().invoke(cli, ["--config", str(store.folder), *command])
        assert result.exit_code == Exit.CONFIG
        assert "exists" in result.stderr
    assert everything(tmp_path) == before


def test_the_longest_legal_name_works(store: ConfigStore) -> None:
    name = "a" + "-" * 61 + "9"
    config = apply_change(store, {"op": "camera.put", "camera": {"name": name, "url": "synthetic:street"}})
    assert config.camera(name) is not None
