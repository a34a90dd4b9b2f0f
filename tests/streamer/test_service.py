"""The unit and its installation: systemd's own tools judge it, and a prefix stands in for the root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamer.cli.service import service as command
from streamer.errors import StreamerError
from streamer.setup import service
from tests.conftest import missing_part

UNIT = "etc/systemd/system/streamer.service"
UNITS = ("streamer.service", "streamer-site.service")


def tool(name: str) -> str:
    return shutil.which(name) or missing_part(f"{name} (Debian package systemd)")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_no_fault_with_the_unit(repo: Path, name: str) -> None:
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", repo / "systemd" / name],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_the_units_exposure_is_at_most_2(repo: Path, name: str) -> None:
    done = subprocess.run(
        [
            tool("systemd-analyze"),
            "security",
            "--offline=true",
            "--threshold=20",  # tenths
            repo / "systemd" / name,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_prefix_gets_the_unit_with_this_environments_path(tmp_path: Path) -> None:
    wanted = service.plan(Path("/srv/own place/bin"), tmp_path)
    for file in wanted.files:
        assert file.changed
    unit = wanted.files[0]
    assert unit.target == tmp_path / UNIT
    assert 'Environment="PATH=/srv/own place/bin:/usr/local/bin:/usr/bin:/bin"\n' in unit.text
    assert "/opt/streamer/bin" not in unit.text


def test_the_site_s_agent_has_a_unit_of_the_same_environment_and_waits_for_a_site() -> None:
    files = {file.target.name: file.text for file in service.plan(Path("/srv/own/bin")).files}
    agent = files["streamer-site.service"]
    assert 'Environment="PATH=/srv/own/bin:' in agent
    assert "ConditionPathExists=/etc/streamer/site.yaml\n" in agent
    assert "KillMode=process\n" in agent, "Ray outlives an agent that is replaced"


def test_a_percent_sign_in_the_path_is_no_specifier(tmp_path: Path) -> None:
    unit = service.plan(Path("/srv/100%n/bin"), tmp_path).files[0]
    assert '"PATH=/srv/100%%n/bin:' in unit.text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: writes files of another user")
def test_installing_into_a_prefix_makes_files_user_and_folders(tmp_path: Path) -> None:
    tool("systemd-sysusers")
    wanted = service.plan(Path("/opt/streamer/bin"), tmp_path)
    assert service.install(wanted) == [file.target for file in wanted.files]
    passwd = (tmp_path / "etc/passwd").read_text()
    assert passwd.startswith("streamer:x:")
    assert "/usr/sbin/nologin" in passwd
    uid, gid = (int(part) for part in passwd.split(":")[2:4])
    cameras = (tmp_path / "etc/streamer/cameras.d").stat()
    assert (cameras.st_uid, cameras.st_gid, oct(cameras.st_mode & 0o7777)) == (uid, gid, "0o2770")
    assert (tmp_path / "etc/streamer").stat().st_uid == 0
    assert service.install(service.plan(Path("/opt/streamer/bin"), tmp_path)) == [], (
        "a second run changes nothing"
    )


def test_systemd_is_only_told_to_reload_where_it_runs() -> None:
    assert ("systemctl", "daemon-reload") in service.plan(Path("/opt/streamer/bin"), running=True).commands
    assert ("systemctl", "daemon-reload") not in service.plan(
        Path("/opt/streamer/bin"), running=False
    ).commands


def test_an_environment_that_the_service_cannot_reach_is_refused() -> None:
    with pytest.raises(StreamerError, match=r"/root is hidden from it.*/opt/streamer"):
        service.check_reachable(Path("/root/venv/bin"))


def test_a_closed_folder_on_the_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HIDDEN", ())
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "streamer").write_text("")
    with pytest.raises(StreamerError, match="is closed to other users"):
        service.check_reachable(closed)


def test_a_dry_run_prints_everything_and_changes_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["install", "--dry-run", "--prefix", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"# would write {tmp_path / UNIT}" in done.output
    assert "Type=notify" in done.output
    assert "# would run systemd-sysusers" in done.output
    assert list(tmp_path.iterdir()) == []


def test_another_user_than_root_is_told_to_use_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = CliRunner().invoke(command, ["install", "--prefix", str(tmp_path)])
    assert isinstance(done.exception, StreamerError)
    assert "sudo" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_is_quoted_with_its_reason() -> None:
    broken = service.Plan((), (("sh", "-c", "echo first; echo the reason >&2; exit 3"),))
    with pytest.raises(StreamerError, match="the reason"):
        service.install(broken)


def test_without_systemd_nothing_is_written(tmp_path: Path) -> None:
    files = (service.UnitFile(tmp_path / "unit", "text"),)
    with pytest.raises(StreamerError, match="does not run systemd"):
        service.install(service.Plan(files, (("systemd-no-such-tool",),)))
    assert list(tmp_path.iterdir()) == []
