"""`streamer doctor` against real trouble: a broken wheel, readable secrets, a bad configuration, no Redis."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.models.store import ModelStore
from streamer.setup import doctor
from streamer.setup.doctor import installation as site
from streamer.setup.doctor import machine
from streamer.setup.doctor.page import check_page
from tests.daemon import Daemon


def write_config(folder: Path, text: str = "") -> ConfigStore:
    (folder / "streamer.yaml").write_text(
        f"timezone: UTC\nstate_dir: {folder}/state\nruntime_dir: {folder}/run\n{text}"
    )
    return ConfigStore(folder)


def by_name(store: ConfigStore) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.examine(store)}


def run(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(folder), "doctor", *options])


def test_a_sound_installation_has_no_failure(short_dir: Path, redis_binary: str) -> None:
    checks = by_name(write_config(short_dir))
    assert [check for check in checks.values() if check.level == "fail"] == []
    assert redis_binary in checks["redis"].text
    assert "CPU" in checks["package openvino"].text


def test_a_refused_configuration_fails_with_its_line_and_the_rest_is_still_checked(short_dir: Path) -> None:
    checks = by_name(write_config(short_dir, "ledger: {max_mb: tiny}\n"))
    assert checks["configuration"].level == "fail"
    assert "streamer.yaml:4" in checks["configuration"].text
    assert "state folder" in checks


def test_a_camera_s_broken_file_is_a_warning_that_names_it_and_leaves_the_rest(short_dir: Path) -> None:
    store = write_config(short_dir)
    store.cameras_dir.mkdir(exist_ok=True)
    store.camera_file("gate").write_text("name: gate\nurl: synthetic:street\nfsp: 5\n")
    store.camera_file("yard").write_text("name: yard\nurl: synthetic:street\n")
    store.camera_file("dir").mkdir()
    checks = by_name(store)
    assert checks["configuration"].level == "ok"
    assert "1 cameras" in checks["configuration"].text
    assert checks["camera gate"].level == checks["camera dir"].level == "warn"
    assert "gate.yaml:3: fsp: unknown key" in checks["camera gate"].text
    assert "all others run" in checks["camera gate"].text
    assert "streamer camera remove gate" in checks["camera gate"].advice
    assert checks["camera dir"].advice == "a folder is no camera: move it away"


def test_secrets_that_say_nothing_usable_are_a_failure_without_a_word_of_them(short_dir: Path) -> None:
    store = write_config(short_dir)
    secrets = short_dir / "secrets.yaml"
    secrets.write_text("cameras:\n  gate: [canary]\n")
    secrets.chmod(0o600)
    check = by_name(store)["secrets"]
    assert (check.level, "secrets.yaml:2" in check.text, "canary" in check.text) == ("fail", True, False)


def test_no_configuration_is_a_warning_that_names_init(short_dir: Path) -> None:
    check = by_name(ConfigStore(short_dir))["configuration"]
    assert (check.level, "streamer init" in check.advice) == ("warn", True)


def test_secrets_that_others_can_read_are_a_failure(short_dir: Path) -> None:
    store = write_config(short_dir)
    secrets = short_dir / "secrets.yaml"
    secrets.write_text("cameras: {}\n")
    secrets.chmod(0o644)
    check = by_name(store)["secrets"]
    assert (check.level, check.advice) == ("fail", f"chmod 600 {secrets}")
    secrets.chmod(0o600)
    assert by_name(store)["secrets"].level == "ok"


def test_without_a_redis_server_the_package_to_install_is_named(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(short_dir))
    (check,) = site.check_redis(ConfigStore(short_dir), Config())
    assert check.level == "fail"
    assert "apt-get install redis-server" in check.advice


@pytest.mark.parametrize(("version", "level"), [("5.0.14", "fail"), ("6.0.16", "ok"), ("8.0.0", "ok")])
def test_a_redis_without_acl_users_is_too_old(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch, version: str, level: str
) -> None:
    fake = short_dir / "redis-server"
    fake.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 bits=64'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{short_dir}:/usr/bin:/bin")
    (check,) = site.check_redis(ConfigStore(short_dir), Config())
    assert (check.level, version in check.text) == (level, True)


def test_an_outside_redis_is_reached_or_not(short_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        store = write_config(short_dir, f"redis: {{url: 'redis://127.0.0.1:{port}/0'}}\n")
        assert by_name(store)["redis"].level == "ok"
    assert by_name(store)["redis"].level == "warn"


def test_a_runtime_folder_too_long_for_a_socket_says_by_how_much(short_dir: Path) -> None:
    long = short_dir / ("x" * 100)
    (check,) = site.check_runtime_folder(ConfigStore(short_dir), Config(runtime_dir=long))
    assert check.level == "fail"
    assert "shorter" in check.advice


def test_a_ledger_that_does_not_fit_the_disk_is_a_warning(short_dir: Path) -> None:
    store = write_config(short_dir, "ledger: {max_mb: 1000000000}\n")
    check = by_name(store)["state folder"]
    assert (check.level, "lower ledger.max_mb" in check.advice) == ("warn", True)


def test_a_wheel_that_dies_of_an_illegal_instruction_is_a_finding_and_not_our_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "av.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    checks = {check.name: check for check in machine.check_packages()}
    assert checks["package av"].level == "fail"
    assert "signal 4" in checks["package av"].text
    assert checks["package cv2"].level == "fail"
    assert "deploy/setup.sh" in checks["package cv2"].advice
    assert checks["package openvino"].level == "ok"


def test_the_detector_in_use_is_named_and_a_damaged_package_is_a_failure(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = by_name(write_config(short_dir))["models"]
    assert (check.level, check.text) == ("ok", "default: default (in the package)")
    monkeypatch.setattr("streamer.models.model_handle.PACKAGED_MODEL", short_dir / "none.onnx")
    check = by_name(write_config(short_dir))["models"]
    assert (check.level, "install streamer again" in check.text) == ("fail", True)
    check = by_name(write_config(short_dir, "inference: {engine: motion}\n"))["models"]
    assert (check.level, "motion" in check.text) == ("ok", True)


@pytest.mark.corpus
def test_a_model_that_was_changed_on_disk_is_a_failure(short_dir: Path, corpus: Path) -> None:
    store = write_config(short_dir)
    added = ModelStore(short_dir / "state/models").add(corpus / "weights/nanodet_320.onnx")
    assert by_name(store)["models"].level == "ok"
    with added.path.open("ab") as file:
        file.write(b"x")
    check = by_name(store)["models"]
    assert (check.level, "nanodet-320" in check.text) == ("fail", True)


@pytest.mark.integration
def test_a_camera_whose_port_is_closed_is_a_warning_with_the_command_to_try(short_dir: Path) -> None:
    store = write_config(short_dir)
    (short_dir / "cameras.d").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (short_dir / "cameras.d/door.yaml").write_text(f"name: door\nurl: rtsp://127.0.0.1:{port}/a\n")
        assert by_name(store)["camera door"].level == "ok"
    check = by_name(store)["camera door"]
    assert (check.level, "streamer camera test door" in check.advice) == ("warn", True)


def test_json_holds_every_check_and_the_exit_code_follows_the_failures(short_dir: Path) -> None:
    write_config(short_dir)
    done = run(short_dir, "--json")
    report = json.loads(done.output)
    assert done.exit_code == 0
    assert report["ok"] is True
    assert {"name", "level", "text", "advice"} == set(report["checks"][0])
    write_config(short_dir, "nonsense: 1\n")
    done = run(short_dir)
    assert done.exit_code == 1
    assert "FAIL  configuration" in done.output


def test_a_port_of_the_page_that_another_program_holds_is_no_page(short_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        store = write_config(short_dir, f"api: {{listen: '127.0.0.1:{port}'}}\n")
        (held,) = check_page(store, store.load())
        assert held.level == "warn"
        assert held.text == f"127.0.0.1:{port} is held by another program than this daemon"
    (free,) = check_page(store, store.load())
    assert free.level == "ok"
    assert "which is free, when the daemon runs" in free.text


@pytest.mark.integration
def test_a_port_that_another_program_has_taken_before_a_reload_is_not_called_the_page(
    short_dir: Path,
) -> None:
    daemon = Daemon(short_dir, sinks=[], api={"listen": "127.0.0.1:0"})
    try:
        daemon.start()
        daemon.wait_for(lambda s: any((w["status"] or {}).get("address") for w in s["workers"]), 20, "HTTP")
        store = ConfigStore(daemon.config_dir)
        (at,) = check_page(store, store.load())
        assert (at.level, "lets a person in" in at.text) == ("ok", True)
        with socket.create_server(("127.0.0.1", 0)) as other:
            listen = f"127.0.0.1:{other.getsockname()[1]}"
            text = store.file.read_text().replace("127.0.0.1:0", listen)
            store.file.write_text(text)
            (held,) = check_page(store, store.load())
        assert (held.level, held.text) == ("warn", f"{listen} is held by another program than this daemon")
        (unheard,) = check_page(store, store.load())
        assert unheard.level == "warn"
        assert "does not listen at" in unheard.text
    finally:
        daemon.kill()
