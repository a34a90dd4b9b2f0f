"""Cameras are discovered on an interface, in a bounded time; what answers wrongly is no camera."""

from __future__ import annotations

import re
import socket
import threading
import time
import types
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from streamer.errors import ConfigError, SourceError
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.onvif import discovery
from streamer.sources.onvif.address import OnvifAddress, read_address
from streamer.sources.onvif.discovery import Announced, ask_endpoint, discover, interfaces, read_match
from streamer.sources.urls import check_source_url, host_and_port
from tests.onvif_camera import CameraProfile, OnvifCamera
from tests.patience import patient

LOOPBACK = {"lo": ("127.0.0.1",)}
PROFILES = [CameraProfile("p", "rtsp://127.0.0.1/live")]


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing:
        probing.bind(("", 0))
        port: int = probing.getsockname()[1]
        return port


@contextmanager
def camera(number: int, port: int, **more: object) -> Iterator[OnvifCamera]:
    """One at an address of its own, where this machine has multicast on loopback."""
    try:
        made = OnvifCamera(PROFILES, host=f"127.77.0.{number}", discovery_port=port, **more)  # type: ignore[arg-type]
    except OSError as error:
        pytest.skip(f"no multicast on loopback here: {error}")
    with made:
        yield made


def found(*cameras: OnvifCamera, port: int) -> list[Announced]:
    """Those that answer; listens until all `cameras` have, within a limit."""
    end, wanted = time.monotonic() + patient(5), {each.endpoint for each in cameras}
    while True:
        heard = discover(LOOPBACK, 1.0, port)
        if wanted <= {device.endpoint for device in heard} or time.monotonic() > end:
            return heard


def test_every_camera_on_the_interface_is_found_once_with_its_names() -> None:
    port = free_udp_port()
    with camera(1, port) as one, camera(2, port) as two:
        heard = found(one, two, port=port)
        assert heard == [
            Announced(OnvifAddress(each.host, each.port), each.endpoint, "ACME Door", "IPC-42", "hall")
            for each in (one, two)
        ]


def test_a_camera_is_where_it_answers_from_whatever_address_it_names() -> None:
    port = free_udp_port()
    with camera(3, port, xaddr_host="10.66.66.66") as one:
        assert [device.at for device in found(one, port=port)] == [OnvifAddress("127.77.0.3", 80)]


def test_the_one_camera_that_is_asked_by_itself_tells_its_endpoint() -> None:
    port = free_udp_port()
    with camera(4, port) as one:
        told = ask_endpoint(one.host, SourceLimits(), port, patient(2))
        assert told == one.endpoint
        assert ask_endpoint(one.host, SourceLimits(networks=("10.0.0.0/8",)), port) == ""
    assert ask_endpoint("127.77.0.4", SourceLimits(), port, 0.2) == ""


def test_where_nobody_answers_listening_ends() -> None:
    assert discover(LOOPBACK, 0.3, free_udp_port()) == []


def test_answers_to_nobodys_question_and_garbage_are_left_out() -> None:
    one = OnvifCamera(PROFILES)
    with one:
        mine = str(uuid.uuid4())
        right = one.match(f"uuid:{mine}")
        assert read_match(right.encode(), "10.0.0.9", [mine]) is not None
        assert read_match(right.encode(), "10.0.0.9", [str(uuid.uuid4())]) is None
        assert read_match(right[: len(right) // 2].encode(), "10.0.0.9", [mine]) is None
        bomb = '<!DOCTYPE x [<!ENTITY a "b">]>' + right.partition("?>")[2]
        assert read_match(bomb.encode(), "10.0.0.9", [mine]) is None


def test_a_printer_that_answers_as_well_is_no_camera() -> None:
    with OnvifCamera(PROFILES, types="wsdp:Device pub:Computer") as one:
        text = one.match("uuid:1").replace("onvif://www.onvif.org/", "ldap:///")
        assert read_match(text.encode(), "10.0.0.9", ["1"]) is None


def test_a_name_cannot_steer_a_terminal_or_fill_it() -> None:
    with OnvifCamera(PROFILES) as one:
        text = one.match("uuid:1").replace("ACME%20Door", "%1b%5b2J" + "x" * 500)
        told = read_match(text.encode(), "10.0.0.9", ["1"])
    assert told is not None
    assert told.name.endswith("x")
    assert "\x1b" not in told.name
    assert len(told.name) == 64


def test_who_answers_without_end_fills_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_DEVICES", 20)
    port = free_udp_port()
    with camera(5, port, answers=500):
        assert len(discover(LOOPBACK, patient(5), port)) == 20


def test_an_interface_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"nonet7.*lo"):
        interfaces(["nonet7"])
    assert interfaces(["lo"])["lo"][0] == "127.0.0.1"
    assert not any(addresses[0].startswith("127.") for addresses in interfaces().values())


def test_where_nothing_can_be_sent_that_is_said() -> None:
    with pytest.raises(SourceError, match="eth7"):
        discover({"eth7": ("203.0.113.77", "2001:db8::77")}, 0.2)
    with pytest.raises(SourceError, match="--interface"):
        discover({}, 0.2)


# ---- IPv6


def test_a_camera_is_found_by_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback has no multicast of IPv6: the probe goes to the camera itself."""
    monkeypatch.setattr(discovery, "GROUP6", "::1")
    with OnvifCamera(PROFILES) as one, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as answering:
        try:
            answering.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        ended = threading.Event()

        def answer() -> None:
            answering.settimeout(0.1)
            while not ended.is_set():
                with suppress(TimeoutError):
                    raw, asker = answering.recvfrom(65536)
                    probe_id = re.search(rb"MessageID>([^<]*)<", raw)
                    assert probe_id
                    told = one.match(probe_id[1].decode()).replace("http://127.0.0.1", "http://[0::1]")
                    answering.sendto(told.encode(), asker)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            heard = discover({"lo": ("127.0.0.1", "::1")}, patient(0.5), answering.getsockname()[1])
        finally:
            ended.set()
            thread.join()
    assert [str(device.at) for device in heard] == [f"onvif://[::1]:{one.port}"]


def test_an_interface_is_asked_from_an_address_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(address: str) -> object:
        return types.SimpleNamespace(
            family=socket.AF_INET6 if ":" in address else socket.AF_INET, address=address
        )

    cards = {
        "eth0": ["fe80::1%eth0", "2001:db8::1", "fd00::1", "10.0.0.1", "10.0.0.2"],
        "eth1": ["fe80::2%eth1"],
        "lo": ["127.0.0.1", "::1"],
        "off": [],
    }
    addresses = {name: list(map(entry, of)) for name, of in cards.items()}
    monkeypatch.setattr(discovery.psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(
        discovery.psutil, "net_if_stats", lambda: dict.fromkeys(cards, types.SimpleNamespace(isup=True))
    )
    assert interfaces() == {
        "eth0": ("10.0.0.1", "2001:db8::1", "fe80::1%eth0"),
        "eth1": ("fe80::2%eth1",),
    }


def test_where_ipv6_is_off_cameras_are_found_by_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutIPv6(socket.socket):
        def __init__(self, family: int = -1, *more: Any, **rest: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *more, **rest)

    port = free_udp_port()
    with camera(6, port) as one:
        monkeypatch.setattr(discovery.socket, "socket", WithoutIPv6)
        heard = discover({"lo": ("127.0.0.1", "::1")}, patient(1), port)
    assert one.endpoint in {device.endpoint for device in heard}


def test_a_link_local_address_has_its_interface_and_stands_where_there_is_no_other() -> None:
    index = socket.if_nametoindex("lo")
    assert discovery._with_interface(("fe80::1", 3702, 0, index)) == "fe80::1%lo"
    at = read_address("onvif://[fe80::1%lo]:8080/main")
    assert (at.host, str(at)) == ("fe80::1%lo", "onvif://[fe80::1%lo]:8080/main")
    assert check_source_url("rtsp://[fe80::1%lo]:8554/a") == "rtsp://[fe80::1%lo]:8554/a"
    assert host_and_port("rtsp://u:p@[fe80::1%eth-0.7]:8554/a") == ("fe80::1%eth-0.7", 8554)
    named = SourceLimits(networks=("fe80::/10",))
    assert resolve("fe80::1%lo", 80, named, "x") == f"fe80::1%{index}"
    with pytest.raises(SourceError, match="link-local"):
        resolve("fe80::1%lo", 80, SourceLimits(), "x")
    near, far, other = (
        Announced(OnvifAddress(host, 80), endpoint, "", "", "")
        for host, endpoint in (("fe80::1%lo", "a"), ("2001:db8::1", "a"), ("fe80::2%lo", "b"))
    )
    assert list(discovery._reachable([near, far, other])) == [far, other]
