"""What the bench `capacity` says is what happened; its figures themselves are no tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.detect.card import read_card
from pipelines.evaluate.crossings import Crossing
from pipelines.values import Detections, Frame, Image, Stamp
from streamer.sources.synthetic import Scene
from tests.bench import capacity, capacity_demand, capacity_sites, capacity_truth, capacity_watch
from tests.bench.capacity_sites import EMPTY, GOP, Clip, Drawn, Site

FRAMES = 2 * GOP
STEP = 2  # grey levels from one picture to the next


def _ramp() -> Iterator[Image]:
    """Pictures that are told apart by how bright they are."""
    return (np.full((48, 64, 3), 20 + STEP * number, np.uint8) for number in range(FRAMES))


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    monkeypatch.setattr(capacity_sites, "SIZE", (64, 48))
    path = tmp_path / "clip.mp4"
    capacity_sites._encode(path, _ramp(), capacity_sites.BUSY_ENCODER)
    return Drawn(Clip("ramp", CameraRules()), path, FRAMES, (0, GOP), tuple(range(FRAMES)))


def _brightness(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]


def test_a_stream_is_its_clip_over_and_over_from_the_cameras_own_key_frame(
    drawn: Drawn, tmp_path: Path
) -> None:
    sites = capacity_sites.sites([drawn], [drawn], 3, 10.0, tmp_path)
    assert {site.first for site in sites} == {0, GOP}
    clip = _brightness(drawn.path)
    assert clip == sorted(clip)
    assert len(set(clip)) == FRAMES
    for site in sites:
        capacity_sites.write(site)
        with av.open(str(site.path)) as container:
            frames = list(container.decode(video=0))
        assert len(frames) == site.frames == 250
        due = [round(float(frame.time or 0.0) * 25) for frame in frames]
        assert due == [site.due(number) for number in range(250)]
        assert due == [0, *range(1 + site.lead, 250 + site.lead)]
        assert _brightness(site.path) == [clip[site.picture(number)] for number in range(250)]


def test_a_stream_from_a_picture_that_is_no_key_frame_is_refused(drawn: Drawn, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no key frame"):
        capacity_sites.repeat(Site("a", drawn, drawn.path, 3, FRAMES), tmp_path / "stream.mp4")


def test_key_frames_come_one_camera_after_the_other_or_all_at_once(drawn: Drawn, tmp_path: Path) -> None:
    spread, together = (
        [site.lead for site in capacity_sites.sites([drawn], [drawn], 8, 2.0, tmp_path, at_once)]
        for at_once in (False, True)
    )
    apart = [later - earlier for earlier, later in itertools.pairwise(sorted(spread))]
    assert min(apart) >= GOP // 16
    assert together == [0] * 8


def test_a_third_of_the_cameras_is_busy(drawn: Drawn, tmp_path: Path) -> None:
    names = [site.camera for site in capacity_sites.sites([drawn], [drawn], 6, 2.0, tmp_path)]
    assert names == ["busy-0", "quiet-1", "quiet-2", "busy-3", "quiet-4", "quiet-5"]


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_in_a_quiet_clip_somebody_passes_once_and_every_picture_of_that_is_looked_at(seed: int) -> None:
    clip = Clip("quiet", CameraRules(), quiet=True, seed=seed)
    order = capacity_sites._quiet_order(seed, 60 * 25)
    passing = [number for number, piece in enumerate(order) if piece >= EMPTY]
    assert passing == list(range(passing[0], passing[-1] + 1))
    assert passing[0] > 0
    assert passing[-1] < len(order) - 1
    assert capacity_sites._passer(seed).pose(0.0) is None  # nobody appears with a key frame
    looked_at = capacity_sites._looked_at(clip, len(order))
    assert set(passing) < set(looked_at)
    assert len(looked_at) < 0.75 * len(order)


def test_what_was_found_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    boxes = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    one = Detections(boxes, np.array([0.7], np.float32), np.array([2], np.int32), high_threshold=0.5)
    looks = np.ones((1, 3), np.float32)
    other = Detections(boxes, one.scores, one.class_ids, looks)
    capacity_truth._keep(tmp_path / "found.npz", {0: one, 7: other, 9: Detections.empty()})
    found = capacity_truth._kept(tmp_path / "found.npz")
    assert list(found) == [0, 7, 9]
    assert found[0].high_threshold == 0.5
    assert found[0].embeddings is None
    np.testing.assert_array_equal(found[0].class_ids, [2])
    np.testing.assert_array_equal(found[7].embeddings, looks)
    assert len(found[9]) == 0


def test_a_pair_over_the_edge_of_the_window_costs_nothing() -> None:
    wanted = [Crossing("door", "in", at_s) for at_s in (9.9, 15.0, 19.9, 30.0)]
    counted = [Crossing("door", "in", at_s) for at_s in (10.1, 15.2, 20.1, 16.9)]
    site = Site("a", Drawn(Clip("long", CameraRules()), Path(), 10**6, (0,), ()), Path(), 5000, 10**6)
    found = capacity_truth.compared(site, wanted, counted, 10.0, 20.0)
    assert found == {"wanted_crossings": 2, "counted": 3, "missed": 0, "false": 1}


def test_who_crosses_where_the_clip_begins_anew_is_left_out() -> None:
    clip = Drawn(Clip("of four seconds", CameraRules()), Path(), 100, (0, 50), ())
    site = Site("a", clip, Path(), first=50, frames=1000, lead=25)  # begins anew after 3, 7, 11 seconds
    wanted = [Crossing("door", "in", at_s) for at_s in (4.0, 7.4, 9.0, 10.6)]
    found = capacity_truth.compared(site, wanted, [Crossing("door", "out", 6.6)], 0.0, 20.0)
    assert found == {"wanted_crossings": 2, "counted": 0, "missed": 2, "false": 0}


def _row(**changes: Any) -> dict[str, Any]:
    usual = {"wanted_crossings": 100, "counted": 100, "served": 0.9, "age_ms": {"p50": 9.0, "p99": 40.0}}
    return {**usual, "interval_ms": 100.0, "pace": 1.0, **changes}


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, None),
        ({"counted": 106}, None),
        ({"counted": 107}, "counts"),
        ({"counted": 93}, "counts"),
        ({"age_ms": {"p50": 9.0, "p99": 101.0}}, "age"),
        ({"served": 0.3}, "least"),
        ({"pace": 0.9}, "pace"),
    ],
)
def test_a_verdict_is_that_of_the_worst_camera(changes: dict[str, Any], fails: str | None) -> None:
    rows = {"a": _row(), "b": _row(**changes), "c": _row()}
    found = capacity.verdicts(rows)
    assert [name for name, of in found.items() if not of["good"]] == ([fails] if fails else [])
    if fails not in (None, "counts"):
        assert found[fails]["camera"] == "b"


def _camera(level: str, **changes: Any) -> dict[str, Any]:
    return {"name": "a", "level": level, "rate": {"fps": 10.0}, "fps_inferred": 8.0, **changes}


@pytest.mark.parametrize(
    ("camera", "wanted", "rates"),
    [
        (_camera("packets"), 0.0, []),
        (_camera("pictures"), 0.0, []),
        (_camera("full"), 20.0, [8.0]),
        (_camera("", rate=None), 50.0, [8.0]),  # as many as there are
        (_camera("full", rate={"fps": 0.0}), 50.0, [8.0]),
        (_camera("full", fps_inferred=0.0), 20.0, []),
    ],
)
def test_a_camera_wants_frames_only_while_it_does_not_rest(
    camera: dict[str, Any], wanted: float, rates: list[float]
) -> None:
    seen = capacity_watch.Watched(0.0, {}, after={"cameras": [{**camera, "decoding_spared": True}]})
    capacity_watch._note(seen, 2.0)
    assert seen.spared_s == 2.0
    assert seen.wanted.get("a", 0.0) == wanted
    assert seen.rates.get("a", []) == rates


def _told(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "streamer.line.crossed.v1", "data": dict(pairs)}


def test_a_camera_that_told_of_nothing_began_as_the_others_did() -> None:
    crossed = {"crossed_captured_ns": 103 * 10**9, "crossed_media_ns": 3 * 10**9}
    events = {"a": [_told(*crossed.items())], "b": []}
    assert capacity.begin_s(events) == {"a": 100.0, "b": 100.0}


def test_every_figure_is_in_what_is_printed(make_result: Callable[..., dict[str, Any]]) -> None:
    text = capacity.render(make_result())
    assert "counts 100 of 100 with every frame, off by 0.0 % ".replace(" %", "%") in text
    assert "cores: decode 0.80, all 1.20" in text
    assert "1.20 cores, of which reading 0.50 (every frame decoded: 1.30) and inference 0.70" in text
    assert "counts 52 of 50 with every frame, off by 4.0% (at most 2%): FAILS" in text
    assert "decoded without the deblocking filter: 25% of the time" in text
    assert "NOT FREE" not in text
    assert "| a | ramp | 100 | 100 | 1 | 1 | 50 | 0 | busy 3 | 90% | 9, 40 ms | 100 ms | 1.00 |" in text


def test_figures_of_a_box_that_others_use_are_said_to_be_that(
    make_result: Callable[..., dict[str, Any]],
) -> None:
    assert "NOT FREE: other programs took 0.30 cores" in capacity.render(make_result(0.3))


@pytest.fixture
def make_result() -> Callable[..., dict[str, Any]]:
    def make(others: float = 0.1) -> dict[str, Any]:
        row = _row(clip="ramp", missed=1, false=1, inferred=50, gated=0, dropped={"busy": 3})
        form = {
            "cores": {"decode": 0.8, "all": 1.2, "other_programs": others},
            "spared": 0.25,
            "cameras": {"a": row},
            **capacity.verdicts({"a": row}),
        }
        asked = {"whole_cores": 1.3, "reading_cores": 0.5, "inference_cores": 0.7, "detector_ms": 15.0}
        asked |= {"wanted": 50, "counted": 52, "good": False, "clips": {}}
        return {"cameras": 1, "cores": 2, "minutes": 1.0, "demand": asked, "forms": {"default": form}}

    return make


def test_cameras_ask_for_what_their_clips_do(drawn: Drawn, tmp_path: Path) -> None:
    wanted = [Crossing("door", "in", at_s) for at_s in (1.0, 2.0, 3.0)]
    demand = capacity_demand.Demand(4.0, 0.4, 0.2, 20, [*wanted[:2], Crossing("door", "out", 1.0)])
    sites = capacity_sites.sites([drawn], [drawn], 3, 10.0, tmp_path)
    asked = capacity_demand.of_sites(sites, {"ramp": demand}, {"ramp": wanted}, 0.02)
    assert asked["clips"]["ramp"]["inferred_fps"] == 5.0
    assert {key: round(asked[key], 6) for key in ("whole_cores", "reading_cores", "inference_cores")} == {
        "whole_cores": 0.3,
        "reading_cores": 0.15,
        "inference_cores": 0.3,
    }
    assert [asked[key] for key in ("wanted", "counted", "missed", "false")] == [9, 9, 3, 3]


def test_every_frame_is_looked_at_with_the_scores_that_the_daemon_uses() -> None:
    card = read_card(capacity_truth.CARD)
    assert card.low_score is not None
    detector = capacity_truth.default_detector(threads=1)
    scene = Scene(seed=21, width=640, height=360, fps=25.0)
    frame = Frame(Stamp("a", 1, 0, 0, 0, 0), scene.picture(scene.painter(), 300))
    (found,) = detector.collect(detector.submit([frame]))
    assert len(found)
    assert found.high_threshold == card.score
    assert found.scores.min() >= card.low_score
