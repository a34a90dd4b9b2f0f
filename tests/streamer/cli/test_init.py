"""`streamer init`: a configuration that says all there is to say, and changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from click.testing import CliRunner

from streamer.cli.init import template
from streamer.cli.main import cli
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.config.yaml_reader import parse
from streamer.sinks import SINKS, sink_class

REQUIRED = {  # of a sink's keys, as the template has them
    "jsonl": {"path": "/var/lib/streamer/events.jsonl"},
    "webhook": {"url": "https://example.org/events"},
    "kafka": {"url": "kafka://localhost:9092"},
}


def uncommented() -> str:
    """The template with every key in force: of a comment line, only what is a key."""
    return re.sub(r"(?m)^# ( *(?:- )?[a-z_]+:(?: |$))", r"\1", template())


def test_a_written_configuration_is_valid_and_empty(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "new"), "init"])
    assert result.exit_code == 0, result.output
    config = ConfigStore(tmp_path / "new").load()
    assert config.model_copy(update={"state_dir": None, "runtime_dir": None}) == Config()
    assert (tmp_path / "new" / "cameras.d").is_dir()


def test_every_key_stands_in_it_with_its_default() -> None:
    data = parse(Path("streamer.yaml"), uncommented()).data
    known = yaml.safe_load(yaml.safe_dump(Config().model_dump(mode="json")))
    del known["cameras"], known["redis"]  # the one has files of its own, the other is the older way of sinks
    known["sinks"] = [
        sink_class(kind)
        .Settings.model_validate({"kind": kind, "name": kind, **REQUIRED.get(kind, {})})
        .model_dump(mode="json", exclude={"name"})
        for kind in SINKS
    ]
    known["state_dir"], known["runtime_dir"] = "/var/lib/streamer", "/run/streamer"
    assert data == known


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "streamer.yaml").write_text("mine")
    result = CliRunner().invoke(cli, ["--config", str(tmp_path), "init"])
    assert result.exit_code == 3
    assert "exists" in result.stderr
    assert (tmp_path / "streamer.yaml").read_text() == "mine"
