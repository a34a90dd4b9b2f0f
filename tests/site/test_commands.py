"""`streamer site …` without a cluster: what it writes, and what it refuses in one line."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.cli.site import membership
from streamer.sinks.redis_connection import connect
from streamer.site.agent_lock import as_only_agent
from streamer.site.cluster import Box, NotReached, Table
from streamer.site.configuration import SiteCamera, publish
from streamer.site.opened import OpenSite
from streamer.site.site_redis import SiteRedis
from tests.conftest import missing_part
from tests.redis_servers import Node

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def redis_url(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = Node(redis_binary, tmp_path_factory.mktemp("site"))
    yield node.url()
    node.kill()


@pytest.fixture
def head(tmp_path: Path, redis_url: str) -> Path:
    """The configuration's folder of a box that is a site's head."""
    if shutil.which("openssl") is None:
        missing_part("openssl (apt install openssl)")
    folder = tmp_path / "cfg"
    (folder / "cameras.d").mkdir(parents=True)
    paths = {"state_dir": str(tmp_path / "state"), "runtime_dir": str(tmp_path / "run")}
    (folder / "streamer.yaml").write_text(yaml.safe_dump(paths))
    done = _site(folder, "init", "shop", "--address", "127.0.1.1", "--redis", redis_url, "--capacity", "1.5")
    assert done.exit_code == 0, done.output
    return folder


def _site(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(folder), "site", *arguments])


def _refusal(folder: Path, *arguments: str) -> str:
    done = _site(folder, *arguments)
    assert done.exit_code != 0
    assert done.output.count("\n") == 1, done.output
    return done.output


def test_a_head_s_keys_are_its_own_and_its_settings_hold_no_secret(head: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in (head / "site.keys").iterdir()} == {0o600}
    assert (head / "site.keys").stat().st_mode & 0o777 == 0o700
    settings = (head / "site.yaml").read_text()
    for path in (head / "site.keys").iterdir():
        assert path.read_text().strip() not in settings


def test_an_invitation_has_a_certificate_that_the_site_s_ca_signed_for_its_address(
    head: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b2.invitation"
    assert _site(head, "invite", "b2", "10.1.2.3", "--out", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    told = json.loads(file.read_text())
    assert "ca.key" not in told["keys"]
    certificate = tmp_path / "node.crt"
    certificate.write_text(told["keys"]["node.crt"] + "\n")
    verify = ["openssl", "verify", "-CAfile", str(head / "site.keys" / "ca.crt"), "-verify_ip", "10.1.2.3"]
    done = subprocess.run([*verify, str(certificate)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_is_refused_in_one_line(head: Path, tmp_path: Path) -> None:
    assert "in site shop already" in _refusal(head, "init", "b", "--address", "a", "--redis", "redis://h")
    assert "is in no site" in _refusal(tmp_path, "status")
    assert "give --cost CORES" in _refusal(head, "add", "gate", "rtsp://h/s")
    assert "write LABEL=VALUE" in _refusal(head, "add", "gate", "rtsp://h/s", "--cost", "1", "--on", "gpu")
    assert "no camera 'gate' in the site" in _refusal(head, "place", "gate")
    own = yaml.safe_load((head / "site.yaml").read_text())["node"]
    assert "this box's own name" in _refusal(head, "invite", own, "10.1.2.3")
    assert "cannot be read as an invitation" in _refusal(tmp_path, "join", str(head / "streamer.yaml"))


def test_a_box_whose_agent_runs_does_not_leave_and_has_no_second_one(head: Path, tmp_path: Path) -> None:
    with as_only_agent(tmp_path / "state", "so it is"):
        assert "end it first (`systemctl disable --now streamer-site`)" in _refusal(head, "leave", "--yes")
        refused = _refusal(head, "agent")
        assert f"this box's agent runs (pid {os.getpid()}): one keeps a box" in refused
    assert (head / "site.yaml").exists()
    assert "end it first" not in _site(head, "leave", "--yes").output


def test_the_name_of_another_box_is_not_given_to_a_second_one(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = Table((Box("id", "b2", "10.1.2.3", True, False, 1.0, 1.0),), ())
    monkeypatch.setattr(OpenSite, "table", lambda _self: SimpleNamespace(table=lambda: boxes))
    refused = _refusal(head, "invite", "b2", "10.1.2.4")
    assert "the site has a box b2 at 10.1.2.3: take another name" in refused
    assert "10.1.2.3 is the box b2's" in _refusal(head, "invite", "b3", "10.1.2.3")
    out = str(tmp_path / "again")
    assert _site(head, "invite", "b2", "10.1.2.3", "--out", out).exit_code == 0, "it may join anew"


def test_what_is_asked_while_ray_is_away_is_kept_and_that_is_said(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: OpenSite) -> None:
        raise NotReached("Ray does not answer at head:6380")

    monkeypatch.setattr(OpenSite, "table", away)
    monkeypatch.setattr(OpenSite, "redis", lambda _self: SiteRedis(keys_redis(head), "away"))
    refused = _refusal(head, "add", "gate", "rtsp://h/s", "--cost", "1")
    assert "Ray does not answer at head:6380; the site's cameras are as you said" in refused
    assert (head / "site.d" / "gate.yaml").exists()


def keys_redis(head: Path) -> str:
    return (head / "site.keys" / "redis").read_text().strip()


def test_a_redis_that_is_away_makes_no_site(tmp_path: Path) -> None:
    refused = _refusal(
        tmp_path, "init", "shop", "--address", "a", "--redis", "redis://127.0.0.1:1/0", "--capacity", "1"
    )
    assert "Redis is not reached" in refused
    assert not (tmp_path / "site.yaml").exists()


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_an_address_that_is_no_one_s_is_refused(head: Path, tmp_path: Path, address: str) -> None:
    given = ("--redis", "redis://127.0.0.1:1/0", "--capacity", "1")
    assert "is no one's address" in _refusal(tmp_path, "init", "shop", "--address", address, *given)
    assert "is no one's address" in _refusal(head, "invite", "b2", address)


def test_an_address_that_is_every_box_s_own_is_refused(tmp_path: Path) -> None:
    """Ray would take the machine's outer one for it, at which nothing answers."""
    given = ("--redis", "redis://127.0.0.1:1/0", "--capacity", "1")
    assert "127.0.1.1, 127.0.1.2" in _refusal(tmp_path, "init", "shop", "--address", "127.0.0.1", *given)


@pytest.mark.parametrize(("address", "warns"), [("8.8.8.8", True), ("10.0.0.5", False), ("head.lan", False)])
def test_a_public_address_is_warned_of(tmp_path: Path, redis_url: str, address: str, warns: bool) -> None:
    given = ("--redis", redis_url, "--capacity", "1")
    done = _site(tmp_path / "cfg", "init", "shop", "--address", address, *given)
    assert done.exit_code == 0, done.output
    assert ("Ray listens on all of this box's" in done.output) is warns


def test_a_box_that_is_full_already_says_that_it_gets_no_camera(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "_usable", lambda: 0.0)
    done = _site(tmp_path / "cfg", "init", "shop", "--address", "10.0.0.5", "--redis", redis_url)
    assert done.exit_code == 0, done.output
    assert "no camera is placed here: set `capacity` in site.yaml" in done.output


def test_a_folder_that_lacks_cameras_of_the_site_is_not_published(head: Path, redis_url: str) -> None:
    """It is another box's folder, or files were lost: all cameras that it lacks would leave the site."""
    client = connect(redis_url)
    publish(client, "shop", [SiteCamera.model_validate({"name": "yard", "url": "rtsp://h/s", "cost": 0.5})])
    refused = _refusal(head, "add", "gate", "rtsp://h/s", "--cost", "0.5")
    assert "lacks yard, which the site has" in refused
    assert not (head / "site.d" / "gate.yaml").exists()
    publish(client, "shop", [])
    client.close()


def test_a_box_without_ray_is_told_what_to_install(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "ray" else found(name, *a)
    )
    monkeypatch.delitem(sys.modules, "streamer_ray_protocol", raising=False)
    assert "pip install 'streamer[cluster]'" in _refusal(head, "status")


@pytest.mark.cluster
def test_a_head_that_is_away_is_named(head: Path) -> None:
    assert "the head at 127.0.1.1:6380 is not reached" in _refusal(head, "status")
