"""The service's files are its own: what another user of the box is told, and what its group may still do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.spec import preset
from streamer.cli.main import cli
from streamer.config import store as config_store
from streamer.errors import ConfigError, Exit
from tests.streamer.cli.conftest import Daemon

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes another user")


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def installed(short_dir: Path) -> Path:
    """A configuration that everybody may read, and a state folder that only its owner may."""
    short_dir.chmod(0o755)
    (short_dir / "streamer.yaml").write_text(f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n")
    (short_dir / "cameras.d").mkdir()
    (short_dir / "state").mkdir(mode=0o700)
    (short_dir / "run").mkdir(mode=0o755)
    return short_dir


def streamer(folder: Path, *words: str) -> Result:
    # All is imported while the interpreter may be read, which may lie in root's home.
    CliRunner().invoke(cli, [*words, "--help"])
    preset("default")
    with as_nobody():
        return CliRunner().invoke(cli, ["--config", str(folder), *words])


@pytest.mark.parametrize(
    "words", [("model", "list"), ("ledger", "status"), ("counts",)], ids=lambda words: " ".join(words)
)
def test_what_lies_in_the_state_folder_is_for_sudo(installed: Path, words: tuple[str, ...]) -> None:
    done = streamer(installed, *words)
    assert done.exit_code == Exit.STORAGE, done.output
    assert "sudo" in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_a_configuration_that_may_not_be_read_is_named(installed: Path) -> None:
    installed.chmod(0o700)
    done = streamer(installed, "status")
    assert done.exit_code == Exit.STORAGE, done.output
    assert "streamer.yaml" in done.output
    assert "group streamer" in done.output


def test_a_camera_is_added_through_the_daemon_whose_models_the_user_may_not_see(installed: Path) -> None:
    daemon = Daemon(installed / "run/control.sock")
    daemon.answers["change"] = lambda request: request.reply({"config_rev": 7})
    daemon.answers["status"] = lambda request: request.reply({"cameras": [], "workers": []})
    try:
        (installed / "run/control.sock").chmod(0o666)  # as if the user were in the group
        done = streamer(installed, "camera", "add", "door", "synthetic:street", "--no-probe")
    finally:
        daemon.close()
    assert done.exit_code == 0, done.output
    assert "config_rev 7" in done.output
    assert [op for op, _ in daemon.asked] == ["status", "change"]


def test_a_stranger_to_the_service_still_has_a_configuration_of_its_own(
    installed: Path, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = short_dir / "service"
    service.mkdir(mode=0o700)
    (service / "streamer.yaml").write_text("timezone: UTC\n")
    monkeypatch.setattr(config_store, "SYSTEM_FOLDER", service)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(installed / "home"))
    monkeypatch.delenv("STREAMER_CONFIG", raising=False)
    with as_nobody():
        store = config_store.ConfigStore()
        assert store.folder == installed / "home/streamer"
        with pytest.raises(ConfigError, match="for sudo and the group streamer"):
            store.load()
    assert config_store.ConfigStore().folder == service
