"""Cameras that ask for a way of authentication unknown to FFmpeg are told apart from wrong passwords."""

from __future__ import annotations

import time

import pytest

from streamer.errors import AuthFailed, AuthUnknown
from streamer.sources.base import create_source
from streamer.sources.probe import probe
from tests.rtsp_fake import FakeCamera

DIGEST = 'Digest realm="camera", nonce="abc"'
MD5 = [
    [DIGEST],
    [DIGEST + ", algorithm=MD5"],
    [DIGEST + ', algorithm="MD5-sess", qop="auth"'],
    ['Basic realm="camera"'],
    [DIGEST + ", algorithm=SHA-256", DIGEST + ", algorithm=MD5"],
]
UNKNOWN = [
    ([DIGEST + ", algorithm=SHA-256"], "Digest SHA-256"),
    ([DIGEST + ", algorithm=SHA-256-sess"], "Digest SHA-256-sess"),
    ([DIGEST + ', algorithm="SHA-512-256", qop="auth"'], "Digest SHA-512-256"),
    ([DIGEST + ", algorithm=MD5", DIGEST + ", algorithm=SHA-256"], "Digest SHA-256"),
    ([DIGEST + ", algorithm=SHA-256", 'Basic realm="camera"'], "Digest SHA-256"),
    (['Bearer realm="camera"'], "authentication of the kind Bearer"),
]


def refusal(camera: FakeCamera) -> AuthFailed:
    source = create_source(camera.url(userinfo="admin:c4nary"), open_timeout_s=5)
    with pytest.raises(AuthFailed) as raised:
        source.open()
    source.close()
    return raised.value


def credentials_sent(camera: FakeCamera) -> int:
    return sum(any(line.lower().startswith("authorization") for line in lines) for lines in camera.requests)


@pytest.mark.parametrize("asks", MD5)
def test_refused_credentials_are_said_to_be_wrong_and_were_sent_once(asks: list[str]) -> None:
    with FakeCamera(asks=asks) as camera:
        error = refusal(camera)
    assert not isinstance(error, AuthUnknown)
    assert "user name or password" in str(error)
    assert credentials_sent(camera) == 1


@pytest.mark.parametrize(("asks", "name"), UNKNOWN)
def test_an_unknown_way_is_named_with_what_to_do_and_nothing_was_sent(asks: list[str], name: str) -> None:
    with FakeCamera(asks=asks) as camera:
        error = refusal(camera)
    assert isinstance(error, AuthUnknown)
    assert error.state == "auth_failed"
    assert f"asks for {name}, which this version's FFmpeg does not know" in str(error)
    assert "MD5" in str(error)
    assert "c4nary" not in str(error)
    assert "\n" not in str(error)
    assert credentials_sent(camera) == 0


def test_a_401_that_asks_for_nothing_is_a_refusal() -> None:
    with FakeCamera(asks=[]) as camera:
        assert "user name or password" in str(refusal(camera))


def test_a_probe_says_what_to_switch_and_not_to_try_passwords() -> None:
    with FakeCamera(asks=[DIGEST + ", algorithm=SHA-256"]) as camera:
        report = probe(camera.url(userinfo="admin:c4nary"))
    assert report.state == "auth_failed"
    assert "Digest SHA-256" in report.problem
    assert not any("lock" in line or "user name" in line for line in report.advice)


def test_a_camera_that_falls_silent_after_its_refusal_holds_nobody() -> None:
    """The question for the way of authentication is within the deadline of the open."""
    with FakeCamera(asks=[DIGEST], answers=2) as camera:
        begun = time.monotonic()
        source = create_source(camera.url(userinfo="a:b"), open_timeout_s=1.5)
        with pytest.raises(AuthFailed):
            source.open()
        source.close()
        assert time.monotonic() - begun < 3
