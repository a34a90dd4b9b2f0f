"""What a newcomer does wrong is answered with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.config.secret_files import read_secrets
from tests.streamer.cli.conftest import Run


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("camera", "add", "gate", "synthetic:street", "--fps", "fast"), 2, "neither a number of frames"),
        (("occupancy", "gate", "shop", "1.5", "--reason", "x"), 2, "no whole number"),
        (("occupancy", "gate", "shop", "1", "--reason", " "), 2, "say why"),
    ],
)
def test_a_value_that_cannot_be_is_answered_with_what_can(
    run: Run, command: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*command)
    assert done.exit_code == code
    assert said in done.output


def test_auto_may_be_written_in_capitals(run: Run) -> None:
    assert run("camera", "add", "gate", "synthetic:street", "--fps", "Auto", "--no-probe").exit_code == 0


def test_a_gate_on_a_scene_that_never_rests_is_noted(run: Run) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    assert "never rests" in run("camera", "set", "gate", "source.gate=auto").output


def test_a_full_box_is_noted_where_nobody_looks_at_the_camera(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr("streamer.cli.camera.change.MANY_A_CORE", 1)
    first = run("camera", "add", "gate", "synthetic:street", "--no-probe").output
    second = run("camera", "add", "yard", "synthetic:street", "--no-probe").output
    assert "streamer capacity" not in first
    assert "streamer capacity" in second


def test_secrets_that_are_a_folder_are_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "secrets.yaml").mkdir()
    fault = read_secrets(tmp_path / "secrets.yaml").fault
    assert fault is not None
    assert "is no file" in str(fault)
