"""`analyze --gate auto --fps auto`: the counts of every frame, from fewer looks, and nothing lost."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.camera_rules import CameraRules
from pipelines.rules import LineSpec
from streamer.cli.main import cli
from streamer.clips.analysis import Analysis
from streamer.clips.analyze import Outputs, Sparing, analyze
from streamer.errors import ConfigError, Exit
from streamer.models.model_handle import open_detector
from streamer.sources.base import create_source
from tests.squares import FPS, SquareDetector, Walker, write_squares

BOTH, GATE, RATE, NONE = Sparing(True, True), Sparing(gate=True), Sparing(rate=True), Sparing()
MIDDLE = LineSpec(name="middle", points=((0.5, 1.0), (0.5, 0.0)), anchor="center")
NEAR_THE_DOOR = LineSpec(name="door", points=((0.1, 1.0), (0.1, 0.0)), anchor="center")
RULES = CameraRules(lines=(MIDDLE, NEAR_THE_DOOR), classes=("person",))
# two who walk and one who runs, a long quiet before, between and after them
WALKERS = (Walker(8.0, 60.0), Walker(9.0, 60.0, y=40), Walker(20.0, 250.0), Walker(24.0, 40.0))
SECONDS = 34.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares") / "clip.mp4", WALKERS, SECONDS)


def look(clip: Path, sparing: Sparing, detector: SquareDetector | None = None, **more: Any) -> Analysis:
    source = create_source(str(clip), loop=False, realtime=False)
    with contextlib.closing(source):
        info = source.open()
        found = detector or SquareDetector()
        return analyze(source, info, found, RULES, clip=clip.name, sparing=sparing, **more)


def counts(result: Analysis) -> dict[str, tuple[int, int]]:
    return {name: (line.left_to_right, line.right_to_left) for name, line in result.lines.items()}


@pytest.mark.parametrize(
    ("sparing", "share"), [(BOTH, 0.6), (GATE, 0.9), (RATE, 0.65)], ids=["both", "gate", "rate"]
)
def test_the_counts_are_those_of_every_frame(clip: Path, sparing: Sparing, share: float) -> None:
    every = look(clip, NONE)
    assert counts(every) == {"middle": (4, 0), "door": (4, 0)}
    spared = look(clip, sparing)
    assert counts(spared) == counts(every)
    assert spared.looks is not None
    assert spared.looks.inferred < share * every.frames
    assert (spared.frames, spared.duration_s) == (every.frames, every.duration_s)


def test_the_frames_balance_and_have_their_reasons(clip: Path) -> None:
    looks = look(clip, BOTH).looks
    assert looks is not None
    assert looks.frames == round(SECONDS * FPS) == looks.inferred + looks.gated + looks.not_due
    assert min(looks.inferred, looks.gated, looks.not_due) > 0
    assert sum(looks.why.values()) == looks.inferred
    assert "nothing is followed" in looks.why


def test_while_nothing_moves_the_detector_is_given_nothing(tmp_path: Path) -> None:
    detector = SquareDetector()
    look(write_squares(tmp_path / "still.mp4", (), 30.0), BOTH, detector)
    assert [number for number in detector.seen if number > 8 * FPS] == []


def test_what_stands_still_for_long_is_looked_at_now_and_then(tmp_path: Path) -> None:
    parked = Walker(0.0, 0.0, x=200.0)
    result = look(write_squares(tmp_path / "parked.mp4", (parked,), 40.0), BOTH)
    assert result.looks is not None
    assert result.looks.why["what is followed stands still"] > 10
    assert result.looks.gated > 0.5 * result.looks.frames


def test_who_comes_in_a_rest_is_looked_at_from_the_first_step_on(clip: Path) -> None:
    """The gate looks 5 times a second, and the camera had rested for seconds: what it saw last is not it."""
    every, spared = SquareDetector(), Seen()
    look(clip, NONE, every)
    look(clip, BOTH, watcher=spared)
    first = round(20.0 * FPS)  # the runner's, who is there for 1.5 s
    looked = [number for number in spared.frames if first - FPS < number < first + FPS]
    assert min(looked) <= first
    assert len([number for number in looked if number >= first]) > 10


def test_who_was_stepped_over_is_looked_at_as_well(tmp_path: Path) -> None:
    """Without a gate it looks twice a second while nobody is there."""
    seen = Seen()
    path = write_squares(tmp_path / "one.mp4", (Walker(8.3, 100.0, x=15.0),), 14.0)
    look(path, RATE, watcher=seen)
    first = 8 * FPS + 8  # 8.32 s, where it appears
    steps = [
        b - a for a, b in zip(seen.frames, seen.frames[1:], strict=False) if first - 3 <= b <= first + 10
    ]
    assert max(steps) <= 3


def test_how_much_the_detector_takes_at_once_changes_nothing(clip: Path, tmp_path: Path) -> None:
    told = []
    for number, (depth, parallel) in enumerate(((1, 1), (6, 2), (12, 4))):
        events = tmp_path / f"{number}.jsonl"
        detector = SquareDetector(depth=depth, parallel=parallel)
        look(clip, BOTH, detector, outputs=Outputs(events=events))
        assert detector.open == 0
        told.append(events.read_text())
    assert told[0] == told[1] == told[2]
    assert told[0].count("line.crossed") == 8


def test_uneven_frames_are_taken_by_their_time(tmp_path: Path) -> None:
    """A second without frames is not stepped over further."""
    pts = [n if n < 250 else n + 10 * (n - 250) for n in range(400)]
    path = write_squares(tmp_path / "uneven.mp4", (), 16.0, pts=pts)
    seen = Seen()
    look(path, RATE, watcher=seen)
    assert [number for number in seen.frames if number >= 251] == list(range(251, 400))


def test_what_shows_every_frame_and_what_learns_from_every_frame_refuse_it(
    clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="leave out --gate and --fps"):
        look(clip, BOTH, outputs=Outputs(render=tmp_path / "out.mp4"))
    with pytest.raises(ConfigError, match="motion detector"):
        look(clip, GATE, open_detector("motion", None))  # type: ignore[arg-type]


def test_the_command_says_how_many_frames_were_looked_at(tmp_path: Path) -> None:
    path = write_squares(tmp_path / "still.mp4", (), 8.0)
    (tmp_path / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\n")
    command = ["--config", str(tmp_path), "analyze", str(path), "--gate", "auto", "--fps", "auto"]
    told = CliRunner().invoke(cli, command)
    assert told.exit_code == 0, told.output
    assert "of 200 frames were looked at" in " ".join(told.output.split())
    answer = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
    assert answer["frames"] == 200 == sum(answer["looks"][k] for k in ("inferred", "gated", "not_due"))
    stored = CliRunner().invoke(cli, ["analyze", str(tmp_path / "stored.npz"), "--fps", "auto"])
    assert stored.exit_code == Exit.CONFIG
    assert "leave out --gate and --fps" in stored.output


class Seen:
    """Watches which frames are followed."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    def frame(self, result: Any) -> None:
        self.frames.append(result.stamp.frame_id)

    def event(self, event: Any) -> None:
        """Not looked at."""
