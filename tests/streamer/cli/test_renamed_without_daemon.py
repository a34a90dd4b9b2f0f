"""A camera that is renamed while no daemon runs: its past is told under the new name at once."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from streamer.config.past_names import RENAMES_FILE
from streamer.config.store import ConfigStore, revise
from streamer.ledger import Ledger
from tests.streamer.cli.conftest import Run
from tests.streamer.test_renames import crossing


@pytest.fixture
def renamed(run: Run, store: ConfigStore) -> ConfigStore:
    """`gate` counted three persons and is `yard` now; no daemon has run since."""
    assert run("camera", "add", "gate", "synthetic:street", "--no-probe").exit_code == 0
    assert run("line", "add", "gate", "door", "0.1,0.5", "0.9,0.5").exit_code == 0
    config = store.load()
    config.state_path.mkdir(exist_ok=True)
    _, rev = revise(config, config.state_path)
    with closing(Ledger(config.ledger_path, "n", max_bytes=64 << 20, retention_days=36500)) as ledger:
        ledger.commit([crossing("gate", n, rev, n, rule_rev=rev) for n in (1, 2, 3)])
    assert run("camera", "rename", "gate", "yard").exit_code == 0
    return store


def counted(run: Run, camera: str) -> list[int]:
    result = run("counts", "--camera", camera, "--since", "all", "--by", "camera,name", "--json")
    assert result.exit_code == 0, result.stderr
    return [row["count"] for row in json.loads(result.stdout)["counts"] if row["camera"] == camera]


def test_counts_and_events_are_those_of_the_name_of_today(run: Run, renamed: ConfigStore) -> None:
    assert counted(run, "yard") == [3]
    told = run("events", "--camera", "yard", "--json").stdout
    assert len(told.splitlines()) == 3
    (renamed.load().state_path / RENAMES_FILE).unlink()  # so that it is by this that they are found
    assert counted(run, "yard") == []


@pytest.mark.usefixtures("renamed")
def test_the_name_of_before_is_answered_with_that_of_today(run: Run) -> None:
    """It said that nothing was counted."""
    for command in ("counts", "events"):
        result = run(command, "--camera", "gate")
        assert result.exit_code == 3
        assert "camera 'gate' is called 'yard' now" in result.stderr


def test_renames_that_cannot_be_read_leave_the_past_under_the_old_name(
    run: Run, renamed: ConfigStore
) -> None:
    path = renamed.load().state_path / RENAMES_FILE
    path.unlink()
    path.mkdir()
    assert counted(run, "gate") == [3]
