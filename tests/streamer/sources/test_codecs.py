"""Every codec that cameras send is rendered and read back; by key frames alone, and by devices that are not
there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from av.codec import codecs_available

from streamer.errors import SourceEnded
from streamer.setup.decode_bench import Cost, decode_costs
from streamer.sources import hardware
from streamer.sources.base import Source, create_source
from tests.clips import make_clip, number_of

CODECS = {
    "libx264": ("h264", {}),
    "libx265": ("hevc", {"x265-params": "log-level=none", "preset": "ultrafast"}),
    "mpeg4": ("mpeg4", {"b": "2000000"}),
    "mjpeg": ("mjpeg", {"q": "3"}),
    "libsvtav1": ("av1", {"preset": "12"}),
    "libvpx-vp9": ("vp9", {"deadline": "realtime", "cpu-used": "8"}),
}


def pictures(source: Source) -> Iterator[int]:
    """The numbers of all of them."""
    while True:
        try:
            yield number_of(source.read().image())
        except SourceEnded:
            return


@pytest.mark.parametrize("encoder", CODECS)
def test_each_codec_is_read_back_picture_by_picture(encoder: str, tmp_path: Path) -> None:
    if encoder not in codecs_available:
        pytest.skip(f"this build of FFmpeg has no {encoder}")
    name, options = CODECS[encoder]
    pixels = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
    clip = make_clip(tmp_path / "a.mkv", frames=12, codec=encoder, options=options, pixel_format=pixels)
    with closing(create_source(str(clip), realtime=False)) as source:
        info = source.open()
        assert name in info.codec or info.codec == "libdav1d"
        assert (info.width, info.height) == (320, 180)
        assert list(pictures(source)) == list(range(12))


def test_of_key_frames_alone_each_is_given_at_its_own_time(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=50, key_frame_gap=10, options={"sc_threshold": "0"})
    with closing(create_source(str(clip), realtime=False, frames="key")) as source:
        source.open()
        found = [source.read() for _ in range(5)]
    assert [number_of(each.image()) for each in found] == [0, 10, 20, 30, 40]
    assert [each.media_ns for each in found] == [number * 400_000_000 for number in range(5)]
    assert all(each.key_frame for each in found)


@pytest.mark.parametrize("device", hardware.DEVICES)
def test_a_device_that_is_not_there_is_told_and_the_processor_decodes(device: str, tmp_path: Path) -> None:
    if not hardware.why_not(device):
        pytest.skip(f"this box has {device}")
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    with closing(create_source(str(clip), realtime=False, decode=device)) as source:  # type: ignore[arg-type]
        info = source.open()
        assert list(pictures(source)) == [0, 1, 2]
    assert info.decoder == ""
    assert info.note.startswith(f"decoded by the processor: {device}: ")


def test_nothing_is_said_of_what_nobody_asked_for(tmp_path: Path) -> None:
    with closing(create_source(str(make_clip(tmp_path / "a.mp4", frames=3)), realtime=False)) as source:
        assert source.open().note == ""


def test_a_device_that_the_build_lacks_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "hwdevices_available", list)
    hardware.why_not.cache_clear()
    try:
        assert hardware.why_not("cuda") == "this build of FFmpeg does not have it"
        assert hardware.note("auto", used=False) == "decoded by the processor: no device can"
    finally:
        hardware.why_not.cache_clear()


def test_the_bench_has_a_cost_or_a_reason_for_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamer.setup import decode_bench

    monkeypatch.setattr(decode_bench, "SECONDS", 1)
    monkeypatch.setattr(decode_bench, "WIDTH", 320)
    monkeypatch.setattr(decode_bench, "HEIGHT", 180)
    monkeypatch.setattr(decode_bench, "ENCODERS", decode_bench.ENCODERS[:1])
    costs: list[Cost] = list(decode_costs())
    assert [cost.way for cost in costs] == ["none", "key", *hardware.DEVICES]
    assert all(cost.cpu_s is not None or cost.problem for cost in costs)
    assert costs[0].cpu_s is not None
    assert costs[0].cpu_s > 0
