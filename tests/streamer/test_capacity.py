"""What a box carries: what is needed for good, what a further camera would take, how many fit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.registry import create_detector
from streamer.api.capacity.box import BoxUse, cores_of_box, measure_box
from streamer.api.capacity.costs import Costs, DecodeCost, Kind, seen_costs
from streamer.api.capacity.fits import KINDS, capacity
from streamer.api.capacity.room import needed
from streamer.api.capacity.use import CameraUse, camera_uses, pids
from streamer.api.http import probing
from streamer.api.http.site import Site
from streamer.config.schema import CameraConfig, Config, SourceOptions
from streamer.setup.capacity_measuring import measure
from streamer.sources.room import Room

PIXELS = 1920 * 1080
HALL = CameraUse(
    "hall",
    "h264",
    1920,
    1080,
    fps=25.0,
    analysed_fps=20.0,
    decode=0.25,
    inference=0.7,
    rest=0.1,
    unlimited=True,
    gate=False,
    resting=False,
    model="default",
)
LIMITED = replace(HALL, name="door", width=640, height=360, fps=10.0, analysed_fps=5.0, unlimited=False)
BOX = BoxUse(cores=2.0, streamer=2.3, others=0.1)
COSTS = Costs((DecodeCost("h264", PIXELS, 10.0, "camera hall"),), 40.0, "default")


def kind(**changes: Any) -> Kind:
    return replace(Kind("a camera", "h264", 1920, 1080, 25.0, 5.0), **changes)


def fits(box: BoxUse, uses: list[CameraUse], costs: Costs = COSTS) -> dict[tuple[str, float], int | None]:
    return {(fit.kind, fit.analysed_fps): fit.more for fit in capacity(box, uses, costs).fits}


def test_a_control_group_s_limit_is_what_the_box_has(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    of = tmp_path / "self"
    of.write_text("0::/a/b\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("max 100000\n")
    unlimited = cores_of_box(tmp_path, of)
    (tmp_path / "a" / "cpu.max").write_text("50000 100000\n")
    assert unlimited >= 1
    assert cores_of_box(tmp_path, of) == 0.5
    assert cores_of_box(tmp_path, tmp_path / "none") == unlimited


def test_a_busy_process_is_the_daemon_s_or_another_s() -> None:
    busy = subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    try:
        assert busy.stdout is not None
        busy.stdout.read(1)
        ours, theirs = measure_box([busy.pid], 0.5), measure_box([], 0.5)
    finally:
        busy.kill()
        busy.wait()
        assert busy.stdout is not None
        busy.stdout.close()
    assert ours.streamer > 0.02
    assert theirs.streamer == 0.0


def test_a_camera_without_a_limit_gives_way_and_one_with_a_limit_does_not() -> None:
    assert HALL.needs(5.0) == pytest.approx(0.25 + 0.8 / 4)
    assert HALL.needs(25.0) == pytest.approx(HALL.cores)
    assert LIMITED.needs(2.0) == pytest.approx(LIMITED.cores)


def test_what_is_needed_counts_the_daemon_beside_its_cameras_and_others() -> None:
    beside = BOX.streamer - HALL.cores - LIMITED.cores
    assert needed(BOX, [HALL, LIMITED]) == pytest.approx(0.1 + beside + 0.45 + LIMITED.cores)


def test_decoding_is_told_by_the_same_codec_and_the_nearest_size() -> None:
    small = DecodeCost("h264", 640 * 360, 1.0, "camera door")
    costs = replace(COSTS, decode=(*COSTS.decode, small, DecodeCost("hevc", PIXELS, 17.0, "camera yard")))
    main = costs.estimate(kind())
    assert (main.decode, main.analysis) == (pytest.approx(0.25), pytest.approx(0.2))
    assert main.basis == "camera hall"
    assert costs.estimate(kind(width=640, height=360)).decode == pytest.approx(0.025)
    assert costs.estimate(kind(codec="hevc")).decode == pytest.approx(17 * 25 / 1000)
    half = costs.estimate(kind(height=540))
    assert half.decode == pytest.approx(0.125)
    assert "by its pixels (0.5 times)" in half.basis
    assert "which is h264" in COSTS.estimate(kind(codec="hevc")).basis


def test_without_a_measurement_nothing_is_said_to_fit() -> None:
    assert seen_costs([]) == Costs((), None, "")
    assert set(fits(BOX, [], Costs((), None, "")).values()) == {None}


def test_a_camera_that_rests_says_nothing_of_decoding() -> None:
    costs = seen_costs([replace(HALL, resting=True), LIMITED])
    assert [each.seen_in for each in costs.decode] == ["camera door"]
    assert costs.analysis_ms == pytest.approx(1.6 / 25 * 1000)


def test_what_was_measured_goes_before_what_was_seen() -> None:
    seen = Costs((DecodeCost("h264", PIXELS, 99.0, "camera x"), DecodeCost("hevc", 1, 1.0, "y")), 9.0, "old")
    both = COSTS.over(seen)
    assert [each.seen_in for each in both.decode] == ["camera hall", "y"]
    assert (both.analysis_ms, both.model) == (40.0, "default")
    assert replace(COSTS, analysis_ms=None).over(seen).analysis_ms == 9.0


def test_the_larger_the_box_and_the_smaller_the_camera_the_more_fit() -> None:
    large = fits(replace(BOX, cores=8.0), [HALL])
    # 7.2 cores, of which 0.1 + 1.25 are others' and the daemon's, and 0.45 the camera's own
    assert large["1080p25 main stream", 5.0] == int((7.2 - 0.1 - 1.25 - 0.45) / 0.45)
    assert large["640x360 substream", 5.0] > large["720p15", 5.0] > large["1080p25 main stream", 5.0]  # type: ignore[operator]
    assert large["720p15", 5.0] > large["720p15", 10.0]  # type: ignore[operator]
    assert set(fits(replace(BOX, others=5.0), [HALL]).values()) == {0}


def test_the_advice_is_what_saves_the_most() -> None:
    assert "use the substream, about 640x360 at 10 to 15, of hall" in capacity(BOX, [HALL], COSTS).advice
    fast = replace(LIMITED, analysed_fps=20.0)
    assert "set source.fps to 10 or less for door" in capacity(BOX, [fast], COSTS).advice
    assert "source.gate: auto for door" in capacity(BOX, [LIMITED], COSTS).advice
    assert "smaller or int8 model" in capacity(BOX, [replace(LIMITED, gate=True)], COSTS).advice


def test_a_camera_of_which_nothing_was_decoded_tells_nothing() -> None:
    silent = replace(LIMITED, name="silent", fps=0.0, analysed_fps=0.0, decode=0.0, inference=0.0, rest=0.0)
    found = capacity(BOX, [replace(LIMITED, gate=True), silent], COSTS)
    assert "silent" not in found.advice
    assert (found.fits[0].kind, found.fits[0].basis) == ("like those there are", "camera door")
    assert silent in found.uses
    assert capacity(BOX, [silent], COSTS).fits[0].kind != "like those there are"


def test_what_other_programs_take_is_said_where_it_is_much() -> None:
    assert "other programs" not in capacity(BOX, [HALL], COSTS).advice
    found = capacity(replace(BOX, others=0.9), [HALL], COSTS)
    assert "use the substream" in found.advice
    assert "other programs take 0.9 of the 2 cores" in found.advice


def test_the_daemon_s_status_is_read_with_what_the_configuration_says() -> None:
    row = {
        "name": "hall",
        "state": "live",
        "codec": "h264",
        "width": 1920,
        "height": 1080,
        "fps_decoded": 25.0,
        "fps_inferred": 20.0,
        "level": "",
        "detector": {"name": "default"},
        "cores": {"decode": 0.25, "inference": 0.7, "rest": 0.1},
    }
    dark = {**row, "name": "dark", "state": "unreachable"}
    status = {"pid": 7, "workers": [{"pid": 8}, {"pid": None}], "cameras": [row, dark]}
    camera = {"name": "hall", "url": "rtsp://cam/1"}
    assert camera_uses(status, Config.model_validate({"cameras": [camera]})) == [HALL]
    camera["source"] = {"fps": 5, "gate": "auto"}  # type: ignore[assignment]
    (use,) = camera_uses(status, Config.model_validate({"cameras": [camera]}))
    assert (use.unlimited, use.gate) == (False, True)
    assert pids(status) == {7, 8}


def test_over_http_a_new_camera_is_held_against_the_room_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamer.api.capacity.room.measure_box", lambda *_: BOX)
    site = Site(Path("none"), Path("none"))
    status = {"pid": 7, "workers": [], "cameras": []}
    monkeypatch.setattr(site, "status", lambda: status)
    new = CameraConfig(name="new", url="rtsp://cam/1")
    assert probing.room_of(site, new) == Room(2.0, needed(BOX, []), 5.0, None)
    as_fast_as_it_goes = new.model_copy(update={"source": SourceOptions(realtime=False)})
    assert probing.room_of(site, as_fast_as_it_goes) is None
    site.config = Config(cameras=(new,))
    assert probing.room_of(site, new) is None, "it runs, and is in what is used"


def test_over_http_a_daemon_that_says_nothing_keeps_nobody_from_a_look() -> None:
    site = Site(Path("none"), Path("none"))
    assert probing.room_of(site, CameraConfig(name="new", url="rtsp://cam/1")) is None


def test_what_is_printed_as_json_is_json() -> None:
    told = json.loads(json.dumps(capacity(BOX, [HALL], COSTS).as_json()))
    assert [fit["kind"] for fit in told["fits"][1:]] == [each.name for each in KINDS]
    assert told["cameras"][0]["cores"] == 1.05


@pytest.mark.slow
def test_a_measurement_finds_that_larger_pictures_take_longer() -> None:
    costs = measure(create_detector("motion", None), "motion")
    by_size = [each.ms for each in sorted(costs.decode, key=lambda each: each.pixels)]
    assert len(by_size) == 3
    assert by_size[2] > 2 * by_size[0] > 0  # nine times the pixels
    assert costs.analysis_ms is not None
    assert costs.analysis_ms > 0
