"""An opening that fails in a way that nobody foresaw."""

from __future__ import annotations

import logging
from typing import NoReturn

import pytest

from streamer.errors import SourceError
from streamer.sources.container import OpenRequest, VideoInput


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
