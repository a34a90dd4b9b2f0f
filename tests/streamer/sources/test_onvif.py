"""A camera is asked by ONVIF for its stream, in a bounded time, whatever it answers; and gets its password as
a digest alone."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streamer.errors import AuthFailed, ConfigError, NoSuchStream, PortClosed, SourceError, SourceStalled
from streamer.sources.limits import SourceLimits
from streamer.sources.onvif import lookup
from streamer.sources.onvif.address import OnvifAddress, is_onvif, read_address
from streamer.sources.onvif.hostile_xml import MAX_XML_BYTES, BadXml, parse
from streamer.sources.onvif.lookup import look_up, read_login
from streamer.sources.onvif.profiles import Profile, choose
from streamer.sources.onvif.soap import Login, password_digest
from tests.certificates import Authority
from tests.onvif_camera import CameraProfile, OnvifCamera
from tests.patience import patient
from tests.talking_server import talking

MAIN = CameraProfile("p_main", "rtsp://127.0.0.1:8554/main", "main", size=(1920, 1080), fps=25)
SUB = CameraProfile("p_sub", "rtsp://127.0.0.1:8554/sub?channel=1&subtype=1", "sub")
TINY = CameraProfile("p_tiny", "rtsp://127.0.0.1:8554/tiny", "tiny", size=(320, 180))
BOTH = (MAIN, SUB)
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>'
)


def login_of(camera: OnvifCamera) -> Login:
    return Login(camera.user, camera.password)


# ---- what is taken


@pytest.mark.parametrize("media2", [False, True])
@pytest.mark.parametrize("auth", ["", "token", "digest", "both"])
def test_the_substreams_address_is_found_however_the_camera_wants_its_password(
    auth: str, media2: bool
) -> None:
    with OnvifCamera(BOTH, auth=auth, media2=media2) as camera:  # type: ignore[arg-type]
        found = look_up(camera.url, login_of(camera))
    assert found.url == SUB.uri
    assert found.profile == Profile("p_sub", "sub", "H264", 640, 360, 12.0, "video_0")
    assert (found.information.maker, found.information.model) == ("ACME", "IPC-42")


def test_a_camera_of_before_get_services_is_asked_for_its_capabilities() -> None:
    with OnvifCamera(BOTH, services=False) as camera:
        assert look_up(camera.url).url == SUB.uri
        assert "GetCapabilities" in camera.operations()


def test_media_1_is_asked_where_media_2_refuses() -> None:
    with OnvifCamera(BOTH, media2=True) as camera:
        answer, second = camera._do, []

        def refuse(operation: str, newer: bool, request: object) -> object:
            second.append(newer)
            return answer("Unknown" if newer else operation, newer, request)  # type: ignore[arg-type]

        camera._do = refuse  # type: ignore[method-assign, assignment]
        assert look_up(camera.url).url == SUB.uri
    assert True in second


@pytest.mark.parametrize("wanted", ["p_main", "MAIN"])
def test_a_profile_is_named_by_its_token_or_its_name(wanted: str) -> None:
    with OnvifCamera(BOTH) as camera:
        assert look_up(f"{camera.url}/{wanted}").url == MAIN.uri


def test_a_profile_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    with (
        OnvifCamera(BOTH) as camera,
        pytest.raises(NoSuchStream, match=r"p_main \(main\) H264 1920x1080, 25"),
    ):
        look_up(f"{camera.url}/third")


def test_without_a_substream_the_main_stream_is_taken_and_that_is_said() -> None:
    with OnvifCamera([MAIN]) as camera:
        found = look_up(camera.url)
    assert found.url == MAIN.uri
    assert any("substream" in note for note in found.notes)


def test_a_profile_too_small_for_the_analysed_picture_is_not_taken_for_its_price() -> None:
    def shown(profile: CameraProfile) -> Profile:
        return Profile(profile.token, profile.name, profile.codec, *profile.size, profile.fps, profile.source)

    profiles = [shown(MAIN), shown(SUB), shown(TINY)]
    assert choose(profiles, "").token == "p_sub"
    assert choose(profiles, "", width=320).token == "p_tiny"
    assert choose(profiles, "", width=1280).token == "p_main"
    assert choose([shown(TINY)], "", width=1280).token == "p_tiny"


def test_a_recorder_with_several_cameras_is_no_guess() -> None:
    channels = [CameraProfile(f"c{n}", f"rtsp://127.0.0.1/c{n}", source=f"video_{n}") for n in range(3)]
    with OnvifCamera(channels) as camera:
        with pytest.raises(NoSuchStream, match=r"c0 .*c1 .*c2 "):
            look_up(camera.url)
        assert look_up(f"{camera.url}/c1").url == "rtsp://127.0.0.1/c1"


def test_no_profile_with_video_is_said() -> None:
    with OnvifCamera([]) as camera, pytest.raises(NoSuchStream, match="video"):
        look_up(camera.url)


# ---- who is asked, and what is told to whom


def test_a_camera_with_another_time_is_told_the_password_at_its_own() -> None:
    with OnvifCamera(BOTH, auth="token", clock_ahead_s=-7200) as camera:
        found = look_up(camera.url, login_of(camera))
    assert found.clock_ahead_s == pytest.approx(-7200, abs=patient(5))
    assert any("7200 s behind" in note or "clock" in note for note in found.notes)


@pytest.mark.parametrize("auth", ["token", "digest", "both"])
def test_a_wrong_password_is_tried_twice_at_most_and_named(auth: str) -> None:
    with OnvifCamera(BOTH, auth=auth) as camera:  # type: ignore[arg-type]
        with pytest.raises(AuthFailed, match="refuses the user name or password"):
            look_up(camera.url, Login(camera.user, "wrong"))
        tried = [
            text for _, headers, text in camera.asked if "authorization" in headers or "Username" in text
        ]
    assert 1 <= len(tried) <= 2


@pytest.mark.parametrize("auth", ["token", "digest"])
def test_a_user_may_have_any_name(auth: str) -> None:
    with OnvifCamera(BOTH, auth=auth, user='Jürgen "ö" 王 <&>') as camera:  # type: ignore[arg-type]
        assert look_up(camera.url, login_of(camera)).url == SUB.uri


def test_a_camera_that_wants_a_password_says_so_where_none_was_given() -> None:
    with OnvifCamera(BOTH, auth="digest") as camera, pytest.raises(AuthFailed, match="wants a user name"):
        look_up(camera.url)


def test_no_password_goes_over_the_line_as_it_is_and_basic_is_never_answered() -> None:
    basic = {"WWW-Authenticate": 'Basic realm="camera"'}
    with OnvifCamera(BOTH, raw={"GetProfiles": (401, basic, b"")}) as camera:
        with pytest.raises(AuthFailed):
            look_up(camera.url, Login("operator", "s3same"))
        sent = "".join(str(headers) + text for _, headers, text in camera.asked)
    assert "s3same" not in sent
    assert "Basic " not in sent
    assert "s3same" not in repr(Login("operator", "s3same"))


def test_a_redirect_is_refused_and_nobody_else_is_asked() -> None:
    with OnvifCamera(BOTH, auth="digest") as other:
        to = {"Location": f"http://127.0.0.1:{other.port}/onvif/device_service"}
        camera = OnvifCamera(BOTH, raw={"GetProfiles": (307, to, b"")})
        with camera, pytest.raises(SourceError, match="redirect"):
            look_up(camera.url, login_of(camera))
        assert other.asked == []


def test_a_camera_that_redirects_to_https_is_told_apart_with_what_to_do() -> None:
    raw = {"GetProfiles": (301, {"Location": "https://127.0.0.1/onvif/device_service"}, b"")}
    with (
        OnvifCamera(BOTH, raw=raw) as camera,
        pytest.raises(SourceError, match=r"HTTPS: ask it as onvifs://127\.0\.0\.1\[:PORT\]"),
    ):
        look_up(camera.url)


def test_a_port_that_speaks_https_is_told_apart_with_what_to_do(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path / "ca").sign("camera", "IP:127.0.0.1"))

    def refuse(connection: socket.socket, _ending: threading.Event) -> None:
        with suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()

    said = r"port \d+ speaks HTTPS: ask it as onvifs://.*--ca"
    with talking(refuse) as there, pytest.raises(SourceError, match=said):
        look_up(f"onvif://127.0.0.1:{there.port}")


def test_a_web_server_that_says_it_wants_https_is_told_apart() -> None:
    page = b"<html>The plain HTTP request was sent to HTTPS port</html>"
    camera = OnvifCamera(BOTH, raw={"GetSystemDateAndTime": (400, {}, page)})
    with camera, pytest.raises(SourceError, match=r"speaks HTTPS .*onvifs://"):
        look_up(camera.url)


def test_a_camera_is_asked_by_its_ipv6_address_and_its_stream_read_there() -> None:
    sub = CameraProfile("p", "rtsp://10.66.66.66:8554/live", size=(640, 360))
    try:
        camera = OnvifCamera([sub], auth="both", host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with camera:
        found = look_up(camera.url, login_of(camera))
        assert found.url == "rtsp://[::1]:8554/live"
        assert all(headers["host"] == f"[::1]:{camera.port}" for _, headers, _ in camera.asked)
        limits = SourceLimits(networks=("127.0.0.0/8",))
        with pytest.raises(SourceError, match=r"\[::1\].*::1 is in none of the allowed networks"):
            look_up(camera.url, login_of(camera), limits)


def test_services_and_streams_that_a_camera_places_elsewhere_are_sought_at_the_camera() -> None:
    elsewhere = CameraProfile("p", "rtsp://evil:pw@10.66.66.66:8554/live", size=(640, 360))
    with OnvifCamera([elsewhere], auth="token", xaddr_host="10.66.66.66") as camera:
        found = look_up(camera.url, login_of(camera))
    assert found.url == "rtsp://127.0.0.1:8554/live"
    assert any("10.66.66.66" in note for note in found.notes)


@pytest.mark.parametrize("uri", ["http://127.0.0.1/x.m3u8", "file:///etc/passwd", "", "onvif://127.0.0.1/"])
def test_a_stream_that_is_no_rtsp_is_refused(uri: str) -> None:
    with OnvifCamera([CameraProfile("p", uri)]) as camera, pytest.raises(SourceError, match="stream"):
        look_up(camera.url)


def test_an_address_outside_of_the_networks_is_not_asked() -> None:
    with OnvifCamera(BOTH) as camera:
        with pytest.raises(SourceError, match=r"sources\.networks"):
            look_up(camera.url, limits=SourceLimits(networks=("10.0.0.0/8",)))
        assert camera.asked == []


# ---- what is no camera


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>no", b"\xff\xfe\x00", BOMB, b"<a>" * 1000, b"<a>" + b"<b/>" * 30_000 + b"</a>"],
    ids=["nothing", "broken", "bytes", "bomb", "deep", "many"],
)
def test_what_is_no_soap_is_said_in_one_line(body: bytes) -> None:
    camera = OnvifCamera(BOTH, raw={"GetProfiles": (200, {}, body)})
    with camera, pytest.raises(SourceError, match="is this an ONVIF camera") as refusal:
        look_up(camera.url)
    assert "\n" not in str(refusal.value)


def test_no_entity_is_expanded_or_fetched() -> None:
    for text in (BOMB, b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>', b"<!DOCTYPE x><x/>"):
        with pytest.raises(BadXml, match="document type"):
            parse(text)
    with pytest.raises(BadXml):
        parse(b"<x>&a;</x>")


def test_an_answer_without_end_is_cut_off() -> None:
    many = b"<a>" + b" " * (MAX_XML_BYTES + 10)
    camera = OnvifCamera(BOTH, raw={"GetSystemDateAndTime": (200, {}, many)})
    with camera, pytest.raises(SourceError, match="1024 KiB"):
        look_up(camera.url)


def test_a_silent_camera_is_given_up_in_time() -> None:
    with OnvifCamera(BOTH, silent=("GetProfiles",)) as camera:
        device = lookup.open_device(read_address(camera.url), None, SourceLimits(), 0.5)
        with pytest.raises(SourceStalled, match="in time"):
            device.profiles()


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that does `serve` with who comes; its onvif:// address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"onvif://127.0.0.1:{listener.getsockname()[1]}"


def test_who_sends_a_byte_now_and_then_holds_nobody_up() -> None:
    ended = threading.Event()

    def dribble(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not ended.wait(0.05):
            connection.sendall(b" ")

    with server(dribble) as url:
        device = lookup.open_device(read_address(url), None, SourceLimits(), 0.5)
        begun = time.monotonic()
        with pytest.raises(SourceStalled):
            device.profiles()
        assert time.monotonic() - begun < patient(100)  # all of it would take 5000 s
        ended.set()


def test_another_service_on_the_port_is_told_apart() -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9\r\n\r\n")
        while connection.recv(4096):  # closed with something unread it would be a reset
            pass

    with server(greet) as url, pytest.raises(SourceError, match="no HTTP"):
        look_up(url)


def test_nobody_on_the_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PortClosed, match=f"port {port}"):
        look_up(f"onvif://127.0.0.1:{port}")


def test_a_web_server_without_onvif_is_told_apart() -> None:
    camera = OnvifCamera(BOTH, raw={"GetSystemDateAndTime": (404, {}, b"no")})
    with camera, pytest.raises(SourceError, match="404"):
        look_up(camera.url)


# ---- addresses


def test_an_address_has_a_host_a_port_and_a_profile() -> None:
    assert read_address("onvif://10.0.0.7") == OnvifAddress("10.0.0.7", 80, "")
    assert read_address("ONVIF://cam.lan:8000/Profile%201") == OnvifAddress("cam.lan", 8000, "Profile 1")
    assert read_address("onvif://10.0.0.7/onvif/device_service").profile == ""
    assert read_address("onvif://[fd00::7]:8080/a").host == "fd00::7"
    assert str(OnvifAddress("fd00::7", 8080, "a/b")) == "onvif://[fd00::7]:8080/a%2Fb"
    assert read_address("ONVIFS://cam.lan/main") == OnvifAddress("cam.lan", 443, "main", secure=True)
    assert str(OnvifAddress("cam.lan", 443, secure=True)) == "onvifs://cam.lan"
    assert str(OnvifAddress("cam.lan", 80, secure=True)) == "onvifs://cam.lan:80"
    assert is_onvif("onvif://x")
    assert is_onvif("onvifs://x")
    assert not is_onvif("rtsp://onvif:x@y/")


@pytest.mark.parametrize(
    "url", ["onvif:", "onvif://", "onvif:///x", "onvif://h:99999", "onvif://h/%0A", "onvif://a b"]
)
def test_what_is_no_address_is_refused_with_the_form_of_one(url: str) -> None:
    with pytest.raises(ConfigError, match=r"onvif://HOST\[:PORT\]"):
        read_address(url)


def test_credentials_of_the_address_are_taken_out_of_it() -> None:
    clean, login = read_login("onvif://admin:p%40ss@10.0.0.7/x", None, None)
    assert (clean, login) == ("onvif://10.0.0.7/x", Login("admin", "p@ss"))
    assert read_login("onvif://10.0.0.7", None, None)[1] is None


def test_the_digest_of_a_user_token_is_that_of_the_standard() -> None:
    """The example of the ONVIF Application Programmer's Guide, 6.1.1.3."""
    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    assert password_digest(nonce, "2010-09-16T07:50:45Z", "userpassword") == "tuOSpGlFlIXsozq4HFNeeGeFLEI="
