"""An audit's result: kept on demand, seen, used by `counts` while the same model counts, and removed."""

from __future__ import annotations

import io
import json
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from streamer.cli.audit_keeping import offer
from streamer.cli.main import cli
from streamer.config.audit_result import AuditResult
from streamer.config.past_names import read_renames
from streamer.config.schema import LEDGER_FILE
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from streamer.ledger import Ledger
from tests import moving
from tests.streamer.cli.conftest import Daemon, Run
from tests.streamer.cli.test_count_intervals import NOON_NS, SURE, record
from tests.streamer.test_audit_result import RESULT

SECONDS = 24
ANSWERS = "y\n2\n" * 40  # to each question the one that fits; the other is refused, and it is asked again
COUNTS = ("counts", "--since", "all", "--by", "camera", "--json")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving.write_moving_clip(tmp_path_factory.mktemp("clip") / "moving.mp4", SECONDS)


@pytest.fixture(scope="module")
def stored(clip: Path) -> Path:
    """What the motion detector finds in it."""
    path = clip.with_suffix(".npz")
    done = CliRunner().invoke(cli, ["analyze", str(clip), "--engine", "motion", "--detections", str(path)])
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture
def gate(store: ConfigStore, clip: Path) -> ConfigStore:
    """A camera with a line, which has counted 200 crossings whose confidence is known."""
    (store.folder / "cameras.d").mkdir()
    document = {**moving.camera("gate", clip), "model": "motion"}
    store.camera_file("gate").write_text("# by hand\n" + yaml.safe_dump(document, sort_keys=False))
    path = store.load().state_path / LEDGER_FILE
    ledger = Ledger(path, "node-1", max_bytes=1 << 26, retention_days=9999, now_ns=lambda: NOON_NS)
    ledger.commit([record(n, n / 10, **SURE) for n in range(1, 201)])
    ledger.close()
    return store


def audit(run: Run, stored: Path, *options: str) -> Any:
    return run("audit", "gate", "--detections", str(stored), "--number", "12", *options, stdin=ANSWERS)


def interval(run: Run) -> tuple[int, int]:
    (row,) = json.loads(run(*COUNTS).stdout)["counts"]
    return row["low"], row["high"]


def test_a_kept_audit_changes_the_interval_and_its_removal_restores_it(
    run: Run, gate: ConfigStore, stored: Path
) -> None:
    usual = interval(run)
    done = audit(run, stored, "--apply")
    assert done.exit_code == 0, done.output
    assert "camera gate: the audit is kept (written to" in done.stderr
    kept = gate.load().cameras[0].audit
    assert kept is not None
    assert (kept.answers, kept.model, kept.pipeline) == (12, "motion", "default")
    assert gate.camera_file("gate").read_text().startswith("# by hand\n")
    assert yaml.safe_load(run("camera", "show", "gate").stdout)["audit"]["answers"] == 12
    shown = run(*COUNTS)
    assert "gate: the audit of" in shown.stderr
    assert "(12 answers) is in the interval" in shown.stderr
    assert interval(run) != usual
    run("camera", "set", "gate", "audit=")
    assert gate.load().cameras[0].audit is None
    assert interval(run) == usual
    assert run(*COUNTS).stderr == ""


def test_a_kept_audit_goes_with_its_camera_and_its_line_to_new_names(
    run: Run, gate: ConfigStore, stored: Path
) -> None:
    assert audit(run, stored, "--apply").exit_code == 0
    kept = interval(run)
    assert run("line", "rename", "gate", "middle", "door").exit_code == 0
    assert run("camera", "rename", "gate", "yard").exit_code == 0
    path = gate.load().ledger_path
    with closing(Ledger(path, "node-1", max_bytes=1 << 26, retention_days=9999)) as ledger:
        ledger.record_renames(read_renames(gate.load().state_path))
    shown = run(*COUNTS)
    assert "yard: the audit of" in shown.stderr
    assert interval(run) == kept
    again = run("audit", "yard", "--detections", str(stored), "--number", "12", "--json", stdin=ANSWERS)
    assert json.loads(again.stdout)["estimates"][0]["name"] == "door right"


def test_without_a_terminal_the_line_that_keeps_it_is_printed_and_does_so(
    run: Run, gate: ConfigStore, stored: Path
) -> None:
    done = audit(run, stored)
    assert gate.load().cameras[0].audit is None
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("to keep it: ")]
    program, *args = shlex.split(line.removeprefix("to keep it: "))
    assert program == "streamer"
    set_by_hand = run(*args)
    assert set_by_hand.exit_code == 0, set_by_hand.output
    by_line = gate.load().cameras[0].audit
    audit(run, stored, "--apply")
    by_command = gate.load().cameras[0].audit
    assert by_line is not None
    assert by_command is not None
    assert by_line == by_command.model_copy(update={"at": by_line.at})


def test_json_stays_one_document_where_the_result_is_kept(run: Run, gate: ConfigStore, stored: Path) -> None:
    done = audit(run, stored, "--apply", "--json")
    assert json.loads(done.stdout)["answers"] == 12
    assert gate.load().cameras[0].audit is not None


def test_a_running_daemon_is_told_and_its_refusal_loses_no_answer(
    run: Run, gate: ConfigStore, stored: Path, daemon: Daemon
) -> None:
    from streamer.errors import StorageError

    daemon.answers["status"] = lambda request: request.reply({"cameras": []})
    daemon.answers["change"] = lambda request: request.fail(StorageError("the disk is full"))
    done = audit(run, stored, "--apply")
    assert done.exit_code == Exit.STORAGE
    assert "not kept; to keep it later: streamer camera set gate audit_counted=" in done.stderr
    (change,) = [args for op, args in daemon.asked if op == "change"]
    assert change["values"]["audit"]["model"] == "motion"
    assert gate.load().cameras[0].audit is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["model=default"], "it was of model motion, and now default (in the package) counts"),
        (
            ["pipeline=people-counting", "classes=object"],
            "it was of pipeline default, which is people-counting now",
        ),
    ],
)
def test_an_audit_of_another_model_or_preset_is_not_used_and_that_is_said_in_a_line(
    run: Run, gate: ConfigStore, stored: Path, settings: list[str], why: str
) -> None:
    usual = interval(run)
    audit(run, stored, "--apply")
    changed = run("camera", "set", "gate", *settings)
    assert changed.exit_code == 0, changed.output
    (line,) = run(*COUNTS).stderr.splitlines()
    assert f"is not used: {why}" in line
    assert line.endswith("audit again, or `streamer camera set gate audit=`")
    assert interval(run) == usual
    assert gate.load().cameras[0].audit is not None


def test_an_audit_whose_error_is_not_known_is_not_kept(run: Run, gate: ConfigStore, stored: Path) -> None:
    done = run("audit", "gate", "--detections", str(stored), "--number", "1", "--apply", stdin=ANSWERS)
    assert done.exit_code == Exit.CONFIG
    assert "cannot be kept: not every direction was answered" in done.stderr
    assert gate.load().cameras[0].audit is None


def test_an_audit_is_unset_by_an_empty_value_alone(run: Run, gate: ConfigStore) -> None:
    done = run("camera", "set", "gate", "audit=30")
    assert done.exit_code == Exit.CONFIG
    assert "is unset with audit=" in done.stderr
    missing = run("camera", "set", "gate", "audit_counted=30")
    assert missing.exit_code == Exit.CONFIG
    assert "audit." in missing.stderr
    assert gate.load().cameras[0].audit is None


def test_detections_that_name_no_model_cannot_be_kept_and_that_is_said_before_the_first_question(
    run: Run, gate: ConfigStore, stored: Path, tmp_path: Path
) -> None:
    nameless = tmp_path / "nameless.npz"
    with np.load(stored) as found:
        np.savez(nameless, **{**found, "detector": np.array("{}")})
    done = audit(run, nameless, "--apply")
    assert done.exit_code == Exit.CONFIG
    assert "its detections do not say which model made them" in done.stderr
    assert "how many crossed" not in done.stderr
    assert gate.load().cameras[0].audit is None


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("key", "kept"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_it_is_asked_and_kept_after_a_yes_alone(
    gate: ConfigStore, monkeypatch: pytest.MonkeyPatch, key: str, kept: bool
) -> None:
    result = AuditResult.model_validate(RESULT)
    monkeypatch.setattr("sys.stdin", Keyboard(key))
    offer(gate, gate.load().cameras[0], result, apply=False, ask=True)
    assert gate.load().cameras[0].audit == (result if kept else None)
