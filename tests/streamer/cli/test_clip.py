"""`streamer clip`: what it says of a daemon's answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamer.cli import clip as command
from streamer.errors import Exit
from tests.streamer.cli.conftest import Run

READY = {"state": "ready", "clip": "gate-1-7", "path": "/c/gate-1-7.mp4", "bytes": 1_000_000, "from_ns": 0,
         "to_ns": 5_000_000_000, "people": "silhouette", "note": ""}  # fmt: skip
NONE: dict[str, Any] = {"clips": [], "making": [], "bytes": 0, "max_bytes": 10, "folder": "/c"}
Answers = Callable[..., None]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What a daemon answers, one after the other."""

    def are(*given: dict[str, Any]) -> None:
        left = iter(given)
        monkeypatch.setattr(command.control, "call", lambda *_: next(left))
        monkeypatch.setattr(command, "LOOK_EVERY_S", 0.0)

    return are


def hiding(times: int) -> list[dict[str, Any]]:
    return [{"state": "hiding", "clip": "gate-1-7"}] * times


def test_that_hiding_people_takes_long_is_said_once_to_who_watches(
    run: Run, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watched(yes: bool) -> None:
        monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: yes, raising=False)

    watched(True)
    answers({"state": "recording", "clip": "gate-1-7"}, *hiding(3), READY)
    result = run("clip", "gate/7")
    assert (result.exit_code, result.stderr.count("hiding people")) == (0, 1)
    assert result.stdout.startswith("/c/gate-1-7.mp4: 1.0 MB, 5.0 s")
    answers(*hiding(2), READY)
    told = run("clip", "gate/7", "--json")
    assert (json.loads(told.stdout)["clip"], told.stderr) == ("gate-1-7", "")
    watched(False)
    answers(*hiding(2), READY)
    assert run("clip", "gate/7").stderr == ""


def test_a_list_of_a_camera_that_there_is_not_names_those_that_there_are(run: Run, answers: Answers) -> None:
    assert run("camera", "add", "gate", "synthetic:street", "--no-probe").exit_code == 0
    answers(NONE)
    refused = run("clip", "list", "yard")
    assert (refused.exit_code, refused.stdout) == (Exit.CONFIG, "")
    assert "no camera 'yard'; known: gate" in refused.stderr
    answers(NONE)
    assert run("clip", "list", "gate").exit_code == 0


def test_clips_of_a_camera_that_was_removed_are_listed(run: Run, answers: Answers) -> None:
    answers({**NONE, "clips": [{**READY, "clip": "yard-1-7"}]})
    assert run("clip", "list", "yard").stdout.startswith("yard-1-7")
