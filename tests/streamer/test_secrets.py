"""Secrets: found in the right order, with any characters, and never shown."""

from __future__ import annotations

import json
import logging
import pickle
import stat
from pathlib import Path

import pytest
import yaml

from streamer.config.schema import CameraConfig
from streamer.config.secrets import Credentials, Secret, SecretStore
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.ipc.atomic_write import write_together
from streamer.sinks.redis import RedisSettings
from streamer.sources.urls import split_credentials

GATE = CameraConfig(name="gate", url="rtsp://10.0.0.5/live")
PRIVATE = RedisSettings(kind="redis", name="redis")
AT_DB = RedisSettings(kind="redis", name="redis", url="redis://db:6379/0")
HARD = [
    "p@ss:w/rd?#%",
    "ümläut 漢字",
    "  spaces  ",
    "0123",
    "null",
    "*alias",
    "&a",
    "!t",
    "'\"\\",
    "a: b # c",
    "\t\x07",
    "-",
]


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    (tmp_path / "streamer.yaml").write_text("timezone: UTC\n")
    (tmp_path / "cameras.d").mkdir()
    return ConfigStore(tmp_path)


def write_secrets(store: ConfigStore, data: object, mode: int = 0o600) -> Path:
    path = store.folder / "secrets.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    path.chmod(mode)
    return path


def test_a_secret_shows_itself_only_on_request() -> None:
    secret = Secret("canary")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>10}",
        f"{secret:>10}",
        repr([secret]),
    ]
    assert all("canary" not in text and "***" in text for text in shown)
    assert secret.reveal() == "canary"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_credentials_do_not_show_in_their_model() -> None:
    assert "canary" not in repr(Credentials(username="canary", password="canary"))


@pytest.mark.parametrize("password", HARD)
def test_any_characters_survive_the_file_and_the_url(store: ConfigStore, password: str) -> None:
    write_together([SecretStore(store).write_for({"gate": Credentials(username="user", password=password)})])
    assert split_credentials(SecretStore(store).url(GATE).reveal()) == (GATE.url, "user", password)
    write_secrets(store, {"cameras": {"gate": {"username": "user", "password": password}}})
    assert SecretStore(store).fixed("gate")[1].password == password


def test_a_password_of_digits_stays_as_it_is_written(store: ConfigStore) -> None:
    write_secrets(store, "cameras:\n  gate: {username: admin, password: 0123}\n")
    assert SecretStore(store).credentials("gate").password == "0123"


def test_the_environment_wins_over_the_person_s_file_and_that_over_the_program_s(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_together([SecretStore(store).write_for({"gate": Credentials(password="program")})])
    assert SecretStore(store).credentials("gate").password == "program"
    write_secrets(store, {"cameras": {"gate": {"password": "person"}}})
    assert SecretStore(store).credentials("gate").password == "person"
    monkeypatch.setenv("STREAMER_CAMERA_GATE_PASSWORD", "environment")
    assert SecretStore(store).credentials("gate").password == "environment"


def test_a_systemd_credential_stands_in_for_a_file_that_the_service_cannot_read(
    store: ConfigStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_secrets(store, "not to be looked at", mode=0o644)
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "streamer.secrets").write_text(
        "cameras: {gate: {username: a, password: b}}\nredis: {password: c}\n"
    )
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    secrets = SecretStore(store)
    assert secrets.url(GATE).reveal() == "rtsp://a:b@10.0.0.5/live"
    assert secrets.sink_address(AT_DB).reveal() == "redis://:c@db:6379/0"


def test_without_an_outside_redis_there_is_no_url(store: ConfigStore) -> None:
    assert not SecretStore(store).sink_address(PRIVATE)


def test_the_environment_gives_the_whole_redis_url(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_REDIS_URL", "rediss://user:canary@db:6380/1")
    assert SecretStore(store).sink_address(PRIVATE).reveal() == "rediss://user:canary@db:6380/1"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(store: ConfigStore, mode: int) -> None:
    path = write_secrets(store, {"cameras": {}}, mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        SecretStore(store)
    assert str(path) in str(caught.value)


def test_the_program_s_file_is_for_its_owner_alone(store: ConfigStore) -> None:
    write = SecretStore(store).write_for({"gate": Credentials(password="x")})
    write_together([write])
    assert stat.S_IMODE(write.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "cameras:\n  gate: canary\n",
        "cameras:\n  gate: [canary]\n",
        "cameras:\n  gate: {password: [canary]}\n",
        "cameras:\n  gate: {password: {a: canary}}\n",
        "cameras:\n  gate: {password: *canary}\n",
        "cameras:\n  gate: {password: !canary x}\n",
        "cameras:\n  gate: {password: @canary}\n",
        'cameras:\n  gate: {password: "canary}\n',
        "canary\n",
        "redis: canary\n",
    ],
)
def test_a_bad_secrets_file_is_refused_without_a_word_of_it(store: ConfigStore, text: str) -> None:
    path = write_secrets(store, text)
    with pytest.raises(ConfigError) as caught:
        SecretStore(store)
    assert str(path) in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value.__cause__)


def test_a_log_line_never_holds_a_password(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("opening %s", Secret("rtsp://a:canary@h/"))
    assert "canary" not in caplog.text


YARD = CameraConfig(name="yard", url="rtsp://10.0.0.6/live")
SHOWN = CameraConfig(name="shown", url="synthetic:street")
OFFICE = RedisSettings(kind="redis", name="office", url="redis://office/0")


def test_a_damaged_entry_costs_its_camera_alone(store: ConfigStore) -> None:
    entries = (
        "cameras:\n  gate: [canary]\n  yard: {username: u, password: p}\nsinks:\n  office: {password: s}\n"
    )
    path = write_secrets(store, entries)
    with pytest.raises(ConfigError, match=r"secrets\.yaml:2"):
        SecretStore(store)
    secrets = SecretStore(store, partly=True)
    assert list(secrets.faults) == [path]
    with pytest.raises(ConfigError, match="camera gate: nothing is sent without its secrets") as refused:
        secrets.url(GATE)
    assert "canary" not in str(refused.value)
    assert secrets.url(YARD).reveal() == "rtsp://u:p@10.0.0.6/live"
    assert secrets.sink_address(OFFICE).reveal() == "redis://:s@office/0"


def test_a_damaged_entry_costs_its_sink_alone(store: ConfigStore) -> None:
    write_secrets(store, "redis: 5\nsinks:\n  office: {passwort: canary}\ncameras:\n  gate: {password: p}\n")
    secrets = SecretStore(store, partly=True)
    for sink in (PRIVATE, OFFICE):
        with pytest.raises(ConfigError, match=f"sink {sink.name}: nothing is sent"):
            secrets.sink_address(sink)
    assert "p@" in secrets.url(GATE).reveal()


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("cameras: [\n", 0o600),
        ("camera: {yard: {password: p}}\n", 0o600),
        ("cameras: {Not a name: {password: p}}\n", 0o600),
        ("cameras: {}\n", 0o644),
    ],
)
def test_of_a_file_that_cannot_be_told_nothing_is_used_and_whoever_may_be_in_it_is_refused(
    store: ConfigStore, monkeypatch: pytest.MonkeyPatch, text: str, mode: int
) -> None:
    stored = SecretStore(store).write_for({"yard": Credentials(username="u", password="own")})
    write_together([stored])
    write_secrets(store, text, mode)
    secrets = SecretStore(store, partly=True)
    for ask in (lambda: secrets.url(GATE), lambda: secrets.sink_address(OFFICE)):
        with pytest.raises(ConfigError, match=r"nothing is sent without its secrets: .*secrets\.yaml"):
            ask()
    assert secrets.url(SHOWN).reveal() == SHOWN.url
    assert secrets.sink_address(PRIVATE).reveal() == ""
    assert secrets.url(YARD).reveal() == "rtsp://u:own@10.0.0.6/live"
    monkeypatch.setenv("STREAMER_CAMERA_GATE_PASSWORD", "given")
    monkeypatch.setenv("STREAMER_CAMERA_YARD_PASSWORD", "given")
    for camera in (GATE, YARD):
        assert ":given@" in secrets.url(camera).reveal()
    monkeypatch.setenv("STREAMER_REDIS_URL", "redis://elsewhere/0")
    with pytest.raises(ConfigError, match="sink redis: nothing is sent"):
        secrets.sink_address(PRIVATE)


def test_a_damaged_file_of_the_program_s_own_costs_the_cameras_that_a_person_s_does_not_name(
    store: ConfigStore,
) -> None:
    write_secrets(store, {"cameras": {"gate": {"password": "p"}}})
    (store.cameras_dir / ".secrets.yaml").write_text("nonsense")
    (store.cameras_dir / ".secrets.yaml").chmod(0o600)
    secrets = SecretStore(store, partly=True)
    assert ":p@" in secrets.url(GATE).reveal()
    assert secrets.sink_address(OFFICE).reveal() == OFFICE.url
    with pytest.raises(ConfigError, match="camera yard: nothing is sent"):
        secrets.url(YARD)
