"""What a source may reach: addresses in every spelling, names that change their mind, links, redirects."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import SourceError
from streamer.sources import limits as module
from streamer.sources.base import create_source
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.probe import probe
from streamer.sources.urls import with_host
from tests.clips import make_clip
from tests.patience import patient
from tests.rtsp_fake import FakeCamera
from tests.rtsp_server import RtspServer

ANY = SourceLimits()


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
        *("2002:a9fe:a9fe::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd20:ce::254"),
        *("100.100.100.200", "192.0.0.192", "168.63.129.16"),
    ],
)
def test_a_link_local_or_metadata_address_is_refused_in_every_spelling(address: str) -> None:
    assert not ANY.allows(address)
    assert not SourceLimits(networks=("0.0.0.0/0", "::/0")).allows(address), "everything does not name it"


def test_a_reserved_address_is_allowed_by_a_network_of_its_own() -> None:
    assert SourceLimits(networks=("10.0.0.0/8", "169.254.7.0/24")).allows("169.254.7.20")
    assert not SourceLimits(networks=("169.254.7.0/24",)).allows("169.254.169.254")
    assert SourceLimits(networks=("fe80::/10",)).allows("fe80::5")


def test_networks_that_are_named_are_the_only_ones() -> None:
    office = SourceLimits(networks=("192.168.10.0/24", "fd12::/16"))
    assert office.allows("192.168.10.7")
    assert office.allows("fd12::7")
    assert not office.allows("192.168.11.7")
    assert not office.allows("127.0.0.1")
    assert ANY.allows("127.0.0.1")
    assert not SourceLimits(networks=()).allows("192.168.10.7")


def answering(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A resolver whose answers change; returns what it was asked."""
    asked, left = [], list(answers)

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(module, "getaddrinfo", getaddrinfo)
    return asked


def test_of_several_addresses_of_a_name_the_first_that_is_allowed_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, ["169.254.169.254", "10.0.0.7"])
    assert resolve("gate.example", 554, ANY, "x") == "10.0.0.7"


def test_a_number_that_means_a_metadata_address_is_refused() -> None:
    with pytest.raises(SourceError, match=r"254, which 2852039166 stands for.*sources\.networks"):
        resolve("2852039166", 80, ANY, "rtsp://2852039166/")


def test_a_name_is_judged_at_every_open_and_its_address_is_what_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeCamera(asks=["Basic realm=x"]) as camera:
        asked = answering(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
        url = f"rtsp://rebinding.example:{camera.port}/live"
        with pytest.raises(SourceError, match="401"):
            create_source(url, open_timeout_s=10).open()
        # Had FFmpeg resolved the name by itself, it would not have found it.
        assert asked == ["rebinding.example"]
        assert camera.asked("DESCRIBE")[0][0].startswith("DESCRIBE rtsp://127.0.0.1:")
        before = len(camera.requests)
        with pytest.raises(SourceError, match="link-local or metadata"):
            create_source(url, open_timeout_s=10).open()
        assert len(camera.requests) == before


def test_a_probe_does_not_knock_where_no_camera_may_be() -> None:
    with FakeCamera() as camera:
        report = probe(camera.url(), limits=SourceLimits(networks=("10.0.0.0/8",)))
        assert "none of the allowed networks" in report.problem
        assert camera.requests == []


@pytest.mark.integration
def test_a_redirect_to_where_a_camera_may_be_is_followed(rtsp_python: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=500)
    with (
        RtspServer(rtsp_python, {"/live": clip}) as target,
        FakeCamera(redirects_to=target.url("/live"), host="127.0.0.3") as camera,
    ):
        source = create_source(camera.url(), open_timeout_s=patient(5))
        source.open()
        assert source.read().width == source.read().width
        source.close()


HERE = SourceLimits(networks=("127.0.0.3/32",))


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Moved Temporarily", "305 Use Proxy"])
@pytest.mark.parametrize("asked", ["OPTIONS", "DESCRIBE", "SETUP"])
def test_where_a_redirect_leads_that_is_not_allowed_nobody_connects(asked: str, status: str) -> None:
    with FakeCamera() as target:
        camera = FakeCamera(redirects_to=target.url(), host="127.0.0.3", redirects=asked, status=status)
        with camera, pytest.raises(SourceError, match=r"127\.0\.0\.1 is in none of the allowed networks"):
            create_source(camera.url(), open_timeout_s=patient(5), limits=HERE).open()
        assert camera.asked(asked)
        assert target.connected == 0


@pytest.mark.parametrize(
    "to", ["rtsp://169.254.169.254/latest", "file:///etc/passwd", "http://127.0.0.1/", "", "gopher://x"]
)
def test_a_redirect_to_no_camera_is_refused_in_one_line(to: str) -> None:
    with FakeCamera(redirects_to=to, redirects="DESCRIBE") as camera:
        with pytest.raises(SourceError, match=r"link-local or metadata|no RTSP address") as caught:
            create_source(camera.url(), open_timeout_s=patient(5)).open()
        assert "\n" not in str(caught.value)
        assert len(camera.asked("DESCRIBE")) == 1


def test_an_answer_that_can_be_read_in_two_ways_hides_no_redirect() -> None:
    """Ends of lines and a NUL as FFmpeg reads them, and a second answer in what seems a body."""
    with FakeCamera() as target:
        moved = f"RTSP/1.0 302 Found\nLocation: {target.url()}\n\n"
        for answer in (
            moved,
            f"RTSP/1.0 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n{moved}",
            f"RTSP/1.0 200 OK\r\nX: \0\r\n\0\n{moved}",
            f"$\0\0\2ab{moved}",
        ):
            camera = FakeCamera(host="127.0.0.3", raw={"OPTIONS": answer.encode()})
            with camera, pytest.raises(SourceError):
                create_source(camera.url(), open_timeout_s=patient(2), limits=HERE).open()
        assert target.connected == 0


def test_over_udp_no_packet_goes_to_a_source_that_is_not_allowed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.4", 0))
        other.settimeout(0.2)
        more = f";source=127.0.0.4;server_port={other.getsockname()[1]}-{other.getsockname()[1]}"
        with FakeCamera(host="127.0.0.3", transports=("udp",), transport_more=more) as camera:
            source = create_source(camera.url(), open_timeout_s=patient(3), transport="udp", limits=HERE)
            with pytest.raises(SourceError, match=r"127\.0\.0\.4 is in none of the allowed networks"):
                source.open()
        with pytest.raises(TimeoutError):
            other.recv(100)


def test_credentials_do_not_follow_a_redirect_to_another_address() -> None:
    with (
        FakeCamera(asks=['Basic realm="x"']) as target,
        FakeCamera(redirects_to=target.url(), host="127.0.0.3") as camera,
    ):
        with pytest.raises(SourceError, match="401"):
            create_source(camera.url(userinfo="me:secret"), open_timeout_s=patient(5)).open()
        assert target.asked("DESCRIBE")
        assert not [line for request in target.requests for line in request if "uthorization" in line]


@pytest.mark.parametrize("name", ["list.m3u8", "clip.mp4", "clip.ts", "list.ffconcat"])
def test_a_playlist_makes_no_request_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    with FakeCamera() as target:
        web = f"http://127.0.0.1:{target.port}/a.ts"
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{web}\n#EXT-X-ENDLIST\n"
        if "concat" in name:
            text = f"ffconcat version 1.0\nfile '{web}'\n"
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match="playlist"):
            create_source(str(tmp_path / name), open_timeout_s=patient(5)).open()
        assert target.connected == 0


@pytest.mark.parametrize(
    ("url", "address", "moved"),
    [
        ("rtsp://gate/live", "10.0.0.7", "rtsp://10.0.0.7/live"),
        ("rtsp://u:p%40ss@gate:8554/a?b=c", "10.0.0.7", "rtsp://u:p%40ss@10.0.0.7:8554/a?b=c"),
        ("rtsps://gate:322/live", "fd12::7", "rtsps://[fd12::7]:322/live"),
        ("rtsp://[fd12::8]:554/live", "fd12::7", "rtsp://[fd12::7]:554/live"),
    ],
)
def test_a_url_keeps_all_but_its_host(url: str, address: str, moved: str) -> None:
    assert with_host(url, address) == moved


# ---- files


def test_a_clip_is_read_from_the_folders_that_are_named_alone(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    inside = make_clip(tmp_path / "clips" / "a.mp4", frames=5)
    outside = make_clip(tmp_path / "b.mp4", frames=5)
    limited = SourceLimits(files=(str(tmp_path / "clips"),))
    source = create_source(str(inside), limits=limited)
    assert source.open().frames == 5
    source.close()
    for path in (str(outside), f"{tmp_path}/clips/../b.mp4"):
        with pytest.raises(SourceError, match=r"may not lie there.*sources\.files"):
            create_source(path, limits=limited).open()


def test_a_link_is_followed_before_its_place_is_judged(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    outside = make_clip(tmp_path / "b.mp4", frames=5)
    link = tmp_path / "clips" / "link.mp4"
    link.symlink_to(outside)
    with pytest.raises(SourceError, match="may not lie there"):
        create_source(str(link), limits=SourceLimits(files=(str(tmp_path / "clips"),))).open()
    source = create_source(str(link), limits=SourceLimits(files=(str(tmp_path),)))
    assert source.open().frames == 5
    source.close()
