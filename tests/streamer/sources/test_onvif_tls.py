"""onvifs://: a camera is asked over TLS, to the end, where `ca` vouches for it; else it is told nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.errors import ConfigError, PortClosed, SourceError
from streamer.sources.limits import SourceLimits
from streamer.sources.onvif.lookup import look_up
from streamer.sources.onvif.lookup_process import look_up_apart
from streamer.sources.onvif.soap import Login
from streamer.sources.tls import CertificateRefused
from tests.certificates import Authority
from tests.onvif_camera import CameraProfile, OnvifCamera

PLAIN = CameraProfile("p", "rtsp://127.0.0.1:8554/sub")
SECURE = CameraProfile("s", "rtsps://127.0.0.1:322/sub")
Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("camera", "IP:127.0.0.1")


def login_of(camera: OnvifCamera) -> Login:
    return Login(camera.user, camera.password)


@pytest.mark.parametrize("auth", ["", "token", "digest"])
def test_a_camera_is_asked_over_tls_to_the_end(authority: Authority, pair: Pair, auth: str) -> None:
    with OnvifCamera([SECURE], auth=auth, certificate=pair) as camera:  # type: ignore[arg-type]
        for trusted in (str(authority.ca), str(pair[0]), "any"):
            found = look_up(camera.url, login_of(camera), ca=trusted)
            assert (found.url, found.ca) == (SECURE.uri, trusted)


def test_the_certificate_is_that_of_the_host_that_was_named(authority: Authority) -> None:
    with OnvifCamera([SECURE], certificate=authority.sign("named", "DNS:localhost")) as camera:
        named = camera.url.replace("127.0.0.1", "localhost")
        only_v4 = SourceLimits(networks=("127.0.0.0/8",))
        assert look_up(named, limits=only_v4, ca=str(authority.ca)).url == "rtsps://localhost:322/sub"


def test_what_ca_does_not_vouch_for_is_told_nothing(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    for signed, ca in (
        (authority.sign("self", "IP:127.0.0.1"), ""),
        (authority.sign("self", "IP:127.0.0.1"), "system"),
        (authority.sign("self", "IP:127.0.0.1"), str(other.ca)),
        (authority.sign("else", "IP:127.0.0.9"), str(authority.ca)),
        (authority.sign("old", "IP:127.0.0.1", expired=True), str(authority.ca)),
    ):
        with OnvifCamera([SECURE], auth="token", certificate=signed) as camera:
            with pytest.raises(CertificateRefused, match=r"not trusted .*PEM file.* --ca \(any "):
                look_up(camera.url, login_of(camera), ca=ca)
            assert camera.asked == []


def test_a_camera_that_names_its_services_at_http_is_asked_over_tls_all_the_same(
    authority: Authority, pair: Pair
) -> None:
    with (
        OnvifCamera([SECURE], auth="digest") as plain,
        OnvifCamera([SECURE], auth="digest", certificate=pair, xaddr_scheme="http") as camera,
    ):
        camera.xaddr_host = f"127.0.0.1:{plain.port}/there?"  # by its name and in the clear at another port
        assert look_up(camera.url, login_of(camera), ca=str(authority.ca)).url == SECURE.uri
        assert plain.asked == []
        assert "GetStreamUri" in camera.operations()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_redirect_is_followed_from_tls(authority: Authority, pair: Pair, scheme: str) -> None:
    with OnvifCamera([SECURE]) as other:
        to = {"Location": f"{scheme}://127.0.0.1:{other.port}/onvif/device_service"}
        raw = {"GetProfiles": (307, to, b"")}
        with (
            OnvifCamera([SECURE], certificate=pair, raw=raw) as camera,
            pytest.raises(SourceError, match="redirect, which is not followed"),
        ):
            look_up(camera.url, ca=str(authority.ca))
        assert other.asked == []


def test_a_stream_that_is_not_encrypted_keeps_no_authority_and_that_is_noted(
    authority: Authority, pair: Pair
) -> None:
    with OnvifCamera([PLAIN], certificate=pair) as camera:
        found = look_up(camera.url, ca=str(authority.ca))
        assert (found.url, found.ca) == (PLAIN.uri, "")
        assert any("not encrypted" in note for note in found.notes)


def test_a_look_up_in_a_process_of_its_own_checks_likewise(authority: Authority, pair: Pair) -> None:
    with OnvifCamera([SECURE], certificate=pair) as camera:
        limits = SourceLimits()
        told = look_up_apart(camera.url, None, None, limits, 640, str(authority.ca))
        assert (told.url, told.ca) == (SECURE.uri, str(authority.ca))
        with pytest.raises(SourceError, match="not trusted"):
            look_up_apart(camera.url, None, None, limits, 640)


def test_a_port_without_tls_is_told_apart() -> None:
    with OnvifCamera([PLAIN]) as camera, pytest.raises(PortClosed, match="speaks no TLS"):
        look_up(f"onvifs://127.0.0.1:{camera.port}", ca="any")


def test_an_authority_that_cannot_be_read_is_said_before_anything_is_sent(pair: Pair, tmp_path: Path) -> None:
    with OnvifCamera([SECURE], certificate=pair) as camera:
        with pytest.raises(SourceError, match="cannot be read"):
            look_up(camera.url, ca=str(tmp_path / "none.pem"))
        with pytest.raises(SourceError, match="no certificate in PEM form"):
            look_up(camera.url, ca=str(pair[1]))
        with pytest.raises(ConfigError, match="whole path"):
            look_up(camera.url, ca="ca.pem")
        assert camera.asked == []
