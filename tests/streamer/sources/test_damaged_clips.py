"""The short form of `python -m tests.bench damaged_clips`: 300 clips that are broken in some way."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import damaged_clips
from tests.damaged_clips import DAMAGES, KINDS, Outcome, damaged, read_damaged, render

CLIPS = 300


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def outcomes(clips: Path) -> list[Outcome]:
    return list(read_damaged(clips, range(CLIPS)))


def test_every_damaged_clip_ends_in_one_line_or_a_short_result(outcomes: list[Outcome]) -> None:
    assert [outcome.seed for outcome in outcomes] == list(range(CLIPS))
    assert [outcome for outcome in outcomes if outcome.end in ("fault", "hung")] == []


def test_what_the_decoder_does_to_the_reading_process_is_counted_and_seldom(outcomes: list[Outcome]) -> None:
    assert Counter(outcome.end for outcome in outcomes)["died"] <= CLIPS // 50


def test_the_clips_are_damaged_and_not_destroyed(outcomes: list[Outcome], clips: Path) -> None:
    """Else this would test the door alone."""
    ends = Counter(outcome.end for outcome in outcomes)
    assert min(ends["ended"], ends["refused"]) > CLIPS // 5
    assert len({outcome.clip for outcome in outcomes}) == len(list(clips.iterdir())) >= len(KINDS) - 3
    told = " ".join(outcome.damage for outcome in outcomes)
    assert all(damage.__name__ in told for damage in DAMAGES)


def test_a_seed_makes_the_same_clip_again(clips: Path) -> None:
    assert [damaged(clips, seed) for seed in range(40)] == [damaged(clips, seed) for seed in range(40)]


# ---- the rig notices


def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Children run `change` before they read; `seen(seed)` in it is when a clip is begun."""
    script = tmp_path / "sitecustomize_for_children.py"
    script.write_text(
        "import sys, tests.damaged_clips as rig\n"
        "before = rig.damaged\n"
        "def after(clips, seed):\n"
        "    seen(seed)\n"
        "    return before(clips, seed)\n"
        f"{change}\n"
        "rig.damaged = after\n"
        "clips, path, first, end = sys.argv[1:]\n"
        "rig._child(rig.Path(clips), rig.Path(path), range(int(first), int(end)))\n"
    )
    monkeypatch.setattr(damaged_clips, "CHILD", [sys.executable, str(script)])
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))


AT_2 = "def seen(seed):\n    if seed == 2:\n        "


@pytest.mark.parametrize(
    ("change", "end", "text"),
    [
        (AT_2 + "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "died", "SIGSEGV"),
        (AT_2 + "import time; time.sleep(600)", "hung", "nothing for 2 s"),
        (AT_2 + "bytes(8 << 30)", "fault", "MemoryError"),
    ],
)
def test_a_child_that_dies_or_hangs_is_told_and_another_goes_on(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, end: str, text: str
) -> None:
    changed(tmp_path, monkeypatch, change)
    if end == "hung":
        monkeypatch.setattr(damaged_clips, "LIMIT_S", 2.0)
        monkeypatch.setattr(damaged_clips, "START_S", 60.0)
    found = list(read_damaged(clips, range(5)))
    assert [outcome.seed for outcome in found] == list(range(5))
    assert (found[2].end, text in found[2].text) == (end, True)
    assert {outcome.end for outcome in [*found[:2], *found[3:]]} <= {"ended", "refused"}


def test_the_limit_of_memory_is_the_childs_own(clips: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    list(read_damaged(clips, range(1)))
    assert resource.getrlimit(resource.RLIMIT_AS) == before
