"""What a gate has learnt is known at the camera's next opening, also by another process."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from streamer.sources.base import SourceInfo
from streamer.sources.gate import MIN_EVIDENCE, Gate
from streamer.sources.kept_evidence import Evidence, evidence_path, forget_other_evidence
from streamer.workers.capture.gate_memory import GateMemory

URL = "rtsp://user:canary@10.0.0.5/live"
TOLD = Evidence((True,) * MIN_EVIDENCE, 1.2, (True, False))


def info(codec: str = "h264") -> SourceInfo:
    return SourceInfo(width=640, height=360, fps=25.0, codec=codec, clock_source="rtp")


def memory(folder: Path, url: str = URL) -> GateMemory:
    return GateMemory("hall", url, evidence_path(folder, "hall"))


@pytest.fixture
def learnt(tmp_path: Path) -> Path:
    before = memory(tmp_path)
    assert not before.gate(info()).trusts_sizes
    before.note(Gate(TOLD))
    return tmp_path


def test_after_a_restart_sizes_are_trusted_that_told_of_who_came(learnt: Path) -> None:
    after = memory(learnt).gate(info())
    assert after.trusts_sizes
    assert after.evidence == TOLD
    assert evidence_path(learnt, "hall").stat().st_mode & 0o777 == 0o600
    assert "canary" not in evidence_path(learnt, "hall").read_text()


def test_a_file_that_says_nothing_of_key_frames_is_known(learnt: Path) -> None:
    path = evidence_path(learnt, "hall")
    document = json.loads(path.read_text())
    del document["keys"]
    path.write_text(json.dumps(document))
    assert memory(learnt).gate(info()).evidence == TOLD._replace(keys=())


def test_a_camera_that_is_opened_again_knows_without_a_file() -> None:
    without = GateMemory("hall", URL, None)
    without.gate(info())
    without.note(Gate(TOLD))
    assert without.gate(info()).trusts_sizes


def test_another_camera_or_another_encoder_is_learnt_anew(learnt: Path) -> None:
    assert not memory(learnt, "rtsp://10.0.0.6/live").gate(info()).trusts_sizes
    assert not memory(learnt).gate(info("hevc")).trusts_sizes


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"source": 1', "null"])
def test_a_damaged_file_is_told_once_and_it_is_learnt_anew(
    learnt: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    evidence_path(learnt, "hall").write_text(text)
    with caplog.at_level(logging.WARNING):
        again = memory(learnt)
        assert again.gate(info()).evidence.told == ()
        again.gate(info("hevc"))
    assert [record.getMessage().split(": ")[2] for record in caplog.records] == ["is damaged"]


def test_a_folder_that_cannot_be_made_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gates").write_text("a file is in the way")
    with caplog.at_level(logging.WARNING):
        stuck = memory(tmp_path)
        stuck.gate(info())
        stuck.note(Gate(TOLD))
    assert any("it learns anew" in record.getMessage() for record in caplog.records)
    assert stuck.gate(info()).trusts_sizes


def test_what_was_learnt_of_a_camera_that_is_no_more_is_forgotten(learnt: Path) -> None:
    forget_other_evidence(learnt, {"hall"})
    assert evidence_path(learnt, "hall").exists()
    forget_other_evidence(learnt, {"door"})
    assert not evidence_path(learnt, "hall").exists()
