"""An opening that fails in a way that nobody foresaw, and a demuxer that asks to be asked again."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest

from streamer.errors import SourceDamaged, SourceError
from streamer.sources.container import VideoInput
from streamer.sources.ffmpeg_errors import explain
from streamer.sources.opening import OpenRequest
from streamer.sources.packets import MAX_AGAIN, Packets


def test_an_unexpected_error_of_an_opening_is_not_taken_for_a_camera_that_does_not_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def opener(_request: OpenRequest) -> NoReturn:
        raise RuntimeError("odd: rtsp://admin:canary@10.0.0.5/live")

    request = OpenRequest(
        url="rtsp://10.0.0.5/live", shown="rtsp://10.0.0.5/live", format=None, opener=opener
    )
    with caplog.at_level(logging.ERROR), pytest.raises(SourceError) as raised:
        VideoInput(request).open()
    assert str(raised.value) == "rtsp://10.0.0.5/live: unexpected RuntimeError: odd: rtsp://***@10.0.0.5/live"
    assert raised.value.state == "unreachable"
    assert caplog.records[0].exc_info is not None


class Stumbling:
    """Of a damaged transport stream: raises so often before each packet. PyAV's generator ends with that."""

    def __init__(self, packets: list[str], times: int) -> None:
        self.packets, self.times, self.raised = packets, times, 0

    def demux(self) -> Iterator[str]:
        while self.packets:
            if self.raised < self.times:
                self.raised += 1
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            self.raised = 0
            yield self.packets.pop(0)


def test_what_follows_a_place_where_a_demuxer_asks_to_be_asked_again_is_read() -> None:
    packets = Packets(Stumbling(["a", "b"], times=3))  # type: ignore[arg-type]
    assert [packets.next(), packets.next(), packets.next()] == ["a", "b", None]


def test_a_demuxer_that_asks_for_it_for_ever_is_not_asked_for_ever() -> None:
    packets = Packets(Stumbling(["a"], times=10 * MAX_AGAIN))  # type: ignore[arg-type]
    with pytest.raises(BlockingIOError):
        packets.next()


def test_an_error_that_is_not_foreseen_says_of_a_file_what_to_do() -> None:
    told = explain(OSError(errno.EIO, "Input/output error"), "/clips/a.mkv", 5.0)
    assert isinstance(told, SourceDamaged)
    assert str(told) == (
        "/clips/a.mkv: cut short or damaged (Input/output error): copy it again, and check that it plays "
        "elsewhere"
    )
