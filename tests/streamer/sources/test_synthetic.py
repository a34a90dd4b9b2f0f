"""The synthetic street: the same by seed, true in its boxes and crossings, and a source like any other."""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.rules import LineSpec
from streamer.errors import ConfigError, SourceEnded, SourceError, StorageError
from streamer.sources.base import create_source
from streamer.sources.synthetic import Scene, parse
from streamer.sources.synthetic.painter import Painter
from streamer.sources.synthetic.truth import CrossingTruth, Measurer, TrueBox, boxes
from streamer.sources.synthetic.view import PARKING, ROAD
from streamer.sources.synthetic.world import World
from tests.synthetic_clip import write_clip, write_truth

SMALL = Scene(seed=3, width=320, height=180, fps=10.0)
PLAIN = Scene(seed=5, width=640, height=360, fps=15.0, noise=0.0)


def measurer_of(scene: Scene, painter: Painter) -> Measurer:
    return Measurer(scene, scene.world(), painter.occluders)


# ---- the same again


def test_two_painters_of_one_seed_paint_the_same_pictures() -> None:
    one, other = SMALL.painter(), SMALL.painter()
    for frame in (0, 7, 133):
        assert np.array_equal(SMALL.picture(one, frame), SMALL.picture(other, frame))


def test_a_frame_looks_the_same_whatever_was_painted_before() -> None:
    painter = SMALL.painter()
    forward = {frame: SMALL.picture(painter, frame) for frame in (5, 60, 200)}
    for frame in (200, 5, 60):
        assert np.array_equal(SMALL.picture(painter, frame), forward[frame])


def test_the_frame_rate_decides_when_one_looks_and_not_what_happens() -> None:
    slow, fast = SMALL.world(), SMALL.world()
    for second in (1, 2, 3):
        for step in range(10):
            fast.at(second - 1 + step / 10)
        assert slow.at(second) == fast.at(second)


def test_another_seed_is_another_street() -> None:
    other = Scene(seed=4, width=320, height=180, fps=10.0)
    difference = SMALL.picture(SMALL.painter(), 0).astype(int) - other.picture(other.painter(), 0)
    assert np.abs(difference).mean() > 10


def test_noise_and_light_change_from_frame_to_frame_on_an_empty_street() -> None:
    empty = Scene(seed=3, width=320, height=180, fps=10.0, density=0.0)
    painter = empty.painter()
    first, second = (empty.picture(painter, n).astype(int) for n in (0, 1))
    assert 0.5 < np.abs(first - second).mean() < 6


# ---- boxes


@pytest.mark.parametrize("frame", [40, 300, 420])
def test_the_true_box_of_what_is_wholly_seen_is_the_extent_of_its_pixels(frame: int) -> None:
    painter = PLAIN.painter()
    picture = PLAIN.snapshot(painter, frame)
    whole = painter.paint(picture, shadows=False)
    looked_at = 0
    for true in measurer_of(PLAIN, painter).boxes(frame):
        if true.visible < 0.999:
            continue
        changed = np.argwhere(
            (painter.paint(picture, shadows=False, skip=frozenset([true.ident])) != whole).any(2)
        )
        top, left = changed.min(axis=0)
        bottom, right = changed.max(axis=0) + 1
        assert np.abs(np.array(true.box) - (left, top, right, bottom)).max() <= 2.5, true
        looked_at += 1
    assert looked_at >= 3


def test_the_visible_share_is_the_share_of_an_objects_pixels_that_are_in_the_picture() -> None:
    painter = PLAIN.painter()
    shares: list[tuple[float, float]] = []
    for frame in range(30, 600, 60):
        picture = PLAIN.snapshot(painter, frame)
        whole = painter.paint(picture, shadows=False)
        trues = measurer_of(PLAIN, painter).boxes(frame)
        for true in trues:
            x1, y1, x2, y2 = true.box
            inside = x1 > 0 and y1 > 0 and x2 < PLAIN.width and y2 < PLAIN.height
            if not inside or (x2 - x1) * (y2 - y1) < 800:
                continue
            others = frozenset(t.ident for t in trues if t.ident != true.ident)
            nothing = frozenset(t.ident for t in trues)
            alone = painter.paint(picture, shadows=False, skip=others) != painter.paint(
                picture, shadows=False, skip=nothing
            )
            seen = painter.paint(picture, shadows=False, skip=frozenset([true.ident])) != whole
            shares.append((true.visible, seen.any(2).sum() / max(1, alone.any(2).sum())))
    hidden = [pair for pair in shares if pair[1] < 0.9]
    assert len(hidden) >= 3  # people and cars do hide each other
    assert max(abs(a - b) for a, b in shares) < 0.12


def test_near_objects_are_larger_than_far_ones_of_the_same_kind() -> None:
    world = World(1)
    view = world.view(640, 360)
    near, far = (view.project(np.array([[x, y, 0.0], [x, y, 1.75]]))[0] for x, y in ((-4, 9), (-12, 22)))
    assert near[0, 1] - near[1, 1] > 1.7 * (far[0, 1] - far[1, 1])


# ---- the traffic is plausible


def test_vehicles_of_a_lane_never_run_into_each_other() -> None:
    world = World(2)
    for second in range(600):
        lanes = defaultdict(list)
        for actor in world.at(second):
            if actor.kind not in ("person", "bicycle") and not actor.parked:
                lanes[math.cos(actor.heading) > 0].append((actor.x, actor.kind))
        for lane in lanes.values():
            for (a, kind_a), (b, kind_b) in itertools.pairwise(sorted(lane)):
                assert b - a > (LENGTH[kind_a] + LENGTH[kind_b]) / 2, f"at {second} s"


LENGTH = {"car": 4.35, "van": 5.3, "truck": 7.2, "bus": 11.0}


def test_nobody_is_run_over_on_the_crossing() -> None:
    world = World(6)
    met = 0
    for tick in range(0, 6000, 2):
        actors = world.at(tick / 10)
        walkers = [a for a in actors if a.kind == "person" and ROAD[0] + 0.5 < a.y < PARKING[0]]
        vehicles = [a for a in actors if a.kind in LENGTH and not a.parked]
        for person, vehicle in itertools.product(walkers, vehicles):
            met += 1
            beside = abs(person.y - vehicle.y) > 1.4
            assert beside or abs(person.x - vehicle.x) > LENGTH[vehicle.kind] / 2, f"at {tick / 10} s"
    assert met > 100


def test_people_walk_and_stand_and_some_go_each_way() -> None:
    world = World(1)
    speeds = [a.speed for t in range(0, 120, 2) for a in world.at(t) if a.kind == "person"]
    ways = {a.heading > math.pi / 2 for t in range(0, 120, 2) for a in world.at(t) if a.kind == "person"}
    assert min(speeds) == 0.0
    assert 1.0 < float(np.median(speeds)) < 1.6
    assert ways == {True, False}


# ---- crossings


def paths(scene: Scene, seconds: float) -> dict[int, list[TrueBox]]:
    world = scene.world()
    view = world.view(scene.width, scene.height)
    found = defaultdict(list)
    for frame in range(int(seconds * scene.fps)):
        for true in boxes(scene, world, view, frame):
            found[true.ident].append(true)
    return found


def test_every_crossing_changes_the_side_on_which_an_object_is_last_seen() -> None:
    scene = Scene(seed=8, width=640, height=360, fps=15.0)
    line = LineSpec(name="upright", points=((0.55, 0.0), (0.55, 1.0)), anchor="center")
    net: dict[int, int] = defaultdict(int)
    for crossing in CrossingTruth(scene, [line]).until(60 - 1e-6):
        # Walking down the picture, the right hand is the picture's left.
        net[crossing.ident] += 1 if crossing.side == "right_to_left" else -1
    for ident, path in paths(scene, 60).items():
        if len(path) >= 4:
            ends = [(b.box[0] + b.box[2]) / 2 / scene.width > 0.55 for b in (path[1], path[-2])]
            assert net[ident] == int(ends[1]) - int(ends[0]), path[0].kind
    assert sum(map(abs, net.values())) > 15


def test_a_line_beside_the_way_is_not_crossed_by_who_passes_its_end() -> None:
    scene = Scene(seed=8, width=640, height=360, fps=15.0)
    high_up = LineSpec(name="sky", points=((0.55, 0.0), (0.55, 0.1)))
    assert list(CrossingTruth(scene, [high_up]).until(30)) == []


def test_a_bent_line_counts_what_its_straight_one_counts() -> None:
    scene = Scene(seed=8, width=640, height=360, fps=15.0)
    straight = scene.line("straight")
    (x1, y1), (x2, y2) = straight.points
    bent = LineSpec(name="bent", points=((x1, y1), ((x1 + x2) / 2 + 0.01, (y1 + y2) / 2), (x2, y2)))
    crossings = list(CrossingTruth(scene, [straight, bent]).until(60))
    by_line = [
        sorted((c.ident, c.side) for c in crossings if c.line == name) for name in ("straight", "bent")
    ]
    assert by_line[0] == by_line[1]
    assert len(by_line[0]) > 20


def test_truth_in_portions_is_the_truth_at_once() -> None:
    scene = Scene(seed=8, width=640, height=360, fps=15.0)
    at_once = list(CrossingTruth(scene, [scene.line()]).until(40))
    watch = CrossingTruth(scene, [scene.line()])
    assert [c for t in range(0, 41, 5) for c in watch.until(t)] == at_once


# ---- as a source


def test_it_opens_and_reads_like_any_source() -> None:
    source = create_source("synthetic:street?seed=3&width=320&height=180&fps=10&seconds=2", realtime=False)
    info = source.open()
    assert (info.width, info.height, info.fps, info.frames, info.duration_s) == (320, 180, 10.0, 20, 2.0)
    frames = [source.read() for _ in range(20)]
    assert [f.media_ns for f in frames] == [n * 100_000_000 for n in range(20)]
    scene = parse("synthetic:street?seed=3&width=320&height=180&fps=10&seconds=2")
    assert np.array_equal(frames[7].image(), scene.picture(scene.painter(), 7))
    assert frames[7].image(160).shape == (90, 160, 3)
    with pytest.raises(SourceEnded, match="20 frames"):
        source.read()
    source.close()
    with pytest.raises(SourceError):
        source.read()


def test_looped_it_begins_again_while_media_time_goes_on() -> None:
    source = create_source(
        "synthetic:street?width=64&height=64&fps=10&seconds=0.5", realtime=False, loop=True
    )
    source.open()
    frames = [source.read() for _ in range(12)]
    assert [f.loop for f in frames] == [0] * 5 + [1] * 5 + [2] * 2
    assert [f.media_ns for f in frames] == [n * 100_000_000 for n in range(12)]
    assert np.array_equal(frames[1].image(), frames[6].image())


def test_paced_it_takes_the_time_that_it_shows() -> None:
    source = create_source("synthetic:street?width=64&height=64&fps=20")
    source.open()
    began = time.monotonic()
    frames = [source.read() for _ in range(11)]
    assert time.monotonic() - began >= 0.49
    steps = np.diff([f.captured_ns for f in frames])
    assert steps.min() > 0
    shown_ns = frames[-1].media_ns - frames[0].media_ns  # more than 10 frames, where the reader was late
    assert shown_ns >= 500_000_000
    assert abs(frames[-1].captured_ns - frames[0].captured_ns - shown_ns) < 100_000_000


def test_a_reader_that_sleeps_misses_frames_as_it_would_those_of_a_camera() -> None:
    source = create_source("synthetic:street?width=64&height=64&fps=20")
    source.open()
    source.read()
    time.sleep(1.5)
    assert source.read().media_ns >= 1_400_000_000


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("synthetic:", "no such scene"),
        ("synthetic:moon", "there is street"),
        ("synthetic:street?colour=red", "unknown option 'colour'"),
        ("synthetic:street?seed=x", "not a whole number"),
        ("synthetic:street?seed=1.5", "not a whole number"),
        ("synthetic:street?seed=", "not a whole number"),
        ("synthetic:street?fps=nan", "not between"),
        ("synthetic:street?fps=0", "not between 0.5 and 120"),
        ("synthetic:street?width=100000", "not between"),
        ("synthetic:street?density=-1", "not between"),
    ],
)
def test_a_scene_that_is_none_is_refused_in_one_line(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        create_source(url)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "scene", [Scene(), SMALL, PLAIN, Scene(seed=9, seconds=3.5, density=0.5, stand=True, people=2.0)]
)
def test_the_url_of_a_scene_means_the_scene(scene: Scene) -> None:
    assert parse(scene.url) == scene


# ---- as files


def test_a_clip_has_the_scenes_pictures_and_times(tmp_path: Path) -> None:
    scene = Scene(seed=3, width=320, height=180, fps=12.5, seconds=2)
    path = tmp_path / "street.mp4"
    assert write_clip(scene, path) == 25
    painter = scene.painter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        for number, frame in enumerate(container.decode(stream)):
            assert float(frame.time) == pytest.approx(number / 12.5, abs=1e-4)
            difference = frame.to_ndarray(format="bgr24").astype(int) - scene.picture(painter, number)
            assert np.abs(difference).mean() < 8
    assert number == 24
    assert [p.name for p in tmp_path.iterdir()] == ["street.mp4"]


def test_the_truth_files_say_what_the_truth_says(tmp_path: Path) -> None:
    scene = Scene(seed=3, width=320, height=180, fps=10.0, seconds=20)
    crossings = write_truth(scene, [scene.line()], tmp_path / "street")
    rows = (tmp_path / "street.crossings.csv").read_text().splitlines()
    assert rows[0] == "time,line,direction,class,track,rides"
    assert len(rows) - 1 == len(crossings) > 3
    assert rows[1].split(",")[:4] == [
        f"{crossings[0].time_s:.3f}",
        "street",
        crossings[0].direction,
        crossings[0].kind,
    ]
    mot = np.loadtxt(tmp_path / "street.mot.txt", delimiter=",")
    assert mot[:, 0].min() == 1
    assert mot[:, 0].max() == 200
    world = scene.world()
    expected = boxes(scene, world, world.view(320, 180), 99)
    assert sorted(mot[mot[:, 0] == 100][:, 1]) == sorted(b.ident for b in expected)
    assert ((mot[:, 8] >= 0) & (mot[:, 8] <= 1)).all()


def test_a_clip_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_clip(Scene(width=64, height=64, seconds=1), tmp_path / "no-folder" / "street.mp4")
    assert list(tmp_path.iterdir()) == []
