"""`streamer camera discover|add|test` by ONVIF: the device is asked once, its rtsp:// address is kept, and
its password never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from tests.certificates import Authority
from tests.onvif_camera import CameraProfile, OnvifCamera
from tests.streamer.cli.conftest import Run

PASSWORD = "c@nary:p/w?#%"
PROFILES = [
    CameraProfile("p_main", "rtsp://127.0.0.1:8554/main", "main", size=(1920, 1080), fps=25),
    CameraProfile("p_sub", "rtsp://127.0.0.1:8554/sub", "sub"),
]
LISTEN = ("--interface", "lo", "--seconds", "1")


@contextmanager
def camera(number: int, **more: Any) -> Iterator[OnvifCamera]:
    """At an address of its own and WS-Discovery's own port, where other tests' cameras may answer too."""
    try:
        made = OnvifCamera(
            PROFILES, host=f"127.78.0.{number}", discovery_port=3702, password=PASSWORD, **more
        )
    except OSError as error:
        pytest.skip(f"no multicast on loopback here: {error}")
    with made:
        yield made


def device(run: Run, camera: OnvifCamera, *more: str, stdin: str | None = None) -> dict[str, Any]:
    """What `camera discover` tells of it; asked again where its answer was lost."""
    for _ in range(5):
        result = run("camera", "discover", *LISTEN, "--json", *more, stdin=stdin)
        assert result.exit_code == 0, result.stderr
        assert PASSWORD not in result.output
        for row in json.loads(result.stdout)["devices"]:
            if row["endpoint"] == camera.endpoint:
                assert isinstance(row, dict)
                return row
    raise AssertionError("it was not found")


def add(run: Run, camera: OnvifCamera, name: str, *more: str, url: str = "") -> Any:
    url = url or camera.url
    arguments = ("--username", camera.user, "--password-stdin", "--no-probe", *more)
    return run("camera", "add", name, url, *arguments, stdin=PASSWORD + "\n")


def test_what_is_discovered_is_added_and_known_from_then_on(run: Run, store: ConfigStore) -> None:
    with camera(1, auth="digest") as one:
        row = device(run, one)
        assert (row["url"], row["name"], row["hardware"]) == (one.url, "ACME Door", "IPC-42")
        assert (row["cameras"], row["profiles"], row["allowed"]) == ([], None, True)
        result = add(run, one, "gate", url=row["url"])
        assert result.exit_code == 0, result.stderr
        assert "takes profile p_sub (sub) H264 640x360" in result.stdout
        assert PASSWORD not in result.output
        assert device(run, one)["cameras"] == ["gate"]
    (kept,) = store.load().cameras
    assert (kept.url, kept.source.onvif) == (f"rtsp://{one.host}:8554/sub", one.endpoint)
    assert "c%40nary" in SecretStore(store).url(kept).reveal()
    assert PASSWORD not in store.camera_file("gate").read_text()


def test_profiles_are_listed_where_credentials_are_given(run: Run) -> None:
    with camera(2, auth="token", media2=True) as one:
        asked = ("--username", one.user, "--password-stdin")
        row = device(run, one, *asked, stdin=PASSWORD + "\n")
        assert [(each["token"], each["width"], each["fps"]) for each in row["profiles"]] == [
            ("p_main", 1920, 25.0),
            ("p_sub", 640, 12.0),
        ]
        wrong = device(run, one, *asked, stdin="wrong\n")
        assert "refuses the user name or password" in wrong["problem"]
        text = run("camera", "discover", *LISTEN, *asked, stdin=PASSWORD + "\n").stdout
    assert f"{one.url}  ACME Door, IPC-42, hall" in text
    assert "p_sub (sub) H264 640x360, 12 frames/s" in text


def test_a_camera_whose_address_has_changed_is_named_with_the_command_that_mends_it(run: Run) -> None:
    with camera(3) as one:
        assert add(run, one, "gate").exit_code == 0
        assert run("camera", "set", "gate", "url=rtsp://127.78.0.99:8554/sub").exit_code == 0
        assert device(run, one)["moved"] == ["gate"]
        text = run("camera", "discover", *LISTEN).stdout
        mend = f"camera set gate 'url=rtsp://{one.host}:8554/sub'"
        assert mend in text
        assert run("camera", "set", "gate", f"url=rtsp://{one.host}:8554/sub").exit_code == 0
        row = device(run, one)
        assert (row["moved"], row["cameras"]) == ([], ["gate"])


def test_another_device_at_the_address_of_a_camera_is_told(run: Run) -> None:
    with camera(4) as one:
        assert add(run, one, "gate").exit_code == 0
    with camera(4) as other:
        row = device(run, other)
        assert (row["replaced"], row["cameras"]) == (["gate"], [])
        assert "it was another device" in run("camera", "discover", *LISTEN).stdout


def test_a_file_of_authorities_that_is_not_there_is_said_before_anything_is_asked(run: Run) -> None:
    for ca in ("/nowhere/ca.pem", "ca.pem"):
        result = run("camera", "discover", "--ca", ca)
        assert result.exit_code in (Exit.SOURCE, Exit.CONFIG)
        assert ca in result.stderr


def test_a_device_outside_of_the_networks_is_listed_and_not_asked(run: Run, store: ConfigStore) -> None:
    path = store.folder / "streamer.yaml"
    path.write_text(path.read_text() + "sources: {networks: [10.0.0.0/8]}\n")
    with camera(5) as one:
        row = device(run, one, "--username", "x")
        assert (row["allowed"], row["profiles"], one.asked) == (False, None, [])
        refused = add(run, one, "gate")
        assert refused.exit_code == Exit.SOURCE
        assert "sources.networks" in refused.stderr
        assert one.asked == []


def test_a_wrong_password_saves_nothing(run: Run, store: ConfigStore) -> None:
    with camera(6, auth="both") as one:
        result = run("camera", "add", "gate", one.url, "--username", one.user, "--no-probe")
        assert result.exit_code == Exit.SOURCE
        assert "refuses the user name or password" in result.stderr
    assert store.load().cameras == ()


def test_what_is_wrong_with_the_settings_is_said_before_the_camera_is_asked(run: Run) -> None:
    with camera(7) as one:
        assert add(run, one, "no/name").exit_code == Exit.CONFIG
        assert add(run, one, "gate", url="onvif://").exit_code == Exit.CONFIG
        assert one.asked == []


def test_a_device_is_tested_without_being_added(run: Run, store: ConfigStore) -> None:
    with camera(8, auth="digest", clock_ahead_s=900) as one:
        result = run("camera", "test", one.url, "--username", one.user, "--password-stdin", stdin=PASSWORD)
        assert result.exit_code == Exit.SOURCE  # nothing streams on port 8554
        assert "ACME IPC-42, firmware 1.2, its clock +" in result.stdout
        assert "takes profile p_sub" in result.stdout
        assert "not p_main" in result.stdout
        assert PASSWORD not in result.output
        told = run(
            "camera", "test", one.url, "--username", one.user, "--password-stdin", "--json", stdin=PASSWORD
        )
        assert json.loads(told.stdout)["onvif"]["profile"]["token"] == "p_sub"
    assert store.load().cameras == ()


def test_a_file_of_a_camera_holds_no_onvif_address(run: Run) -> None:
    with camera(9) as one:
        assert add(run, one, "gate").exit_code == 0
    refused = run("camera", "set", "gate", "url=onvif://10.0.0.7")
    assert refused.exit_code == Exit.CONFIG
    assert "streamer camera add" in refused.stderr


def test_credentials_go_with_an_address_and_not_with_a_cameras_name(run: Run) -> None:
    assert run("camera", "test", "gate", "--username", "x").exit_code == Exit.USAGE


def test_a_camera_over_https_is_added_with_who_vouches_for_it(
    run: Run, store: ConfigStore, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.sign("camera", "IP:127.78.0.9")
    with camera(9, auth="digest", certificate=pair) as one:
        row = device(run, one, "--username", one.user, "--password-stdin", stdin=PASSWORD)
        assert row["url"] == one.url
        assert one.url.startswith("onvifs://")
        assert "not trusted" in row["problem"]
        refused = add(run, one, "gate")
        assert (refused.exit_code, store.load().cameras) == (Exit.SOURCE, ())
        assert "--ca" in refused.stderr
        result = add(run, one, "gate", "--ca", str(authority.ca))
        assert result.exit_code == 0, result.stderr
        assert "not encrypted" in result.stdout
        known = device(run, one, "--ca", str(authority.ca), "--username", one.user, "--password-stdin",
                       stdin=PASSWORD)  # fmt: skip
        assert (known["problem"], len(known["profiles"])) == ("", 2)
        tested = run("camera", "test", one.url, "--ca", "any", "--username", one.user, "--password-stdin",
                     stdin=PASSWORD)  # fmt: skip
        assert "takes profile p_sub" in tested.stdout
    (kept,) = store.load().cameras
    assert (kept.url, kept.source.ca) == (f"rtsp://{one.host}:8554/sub", "")
