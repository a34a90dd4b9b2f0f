"""The key `sinks`, the older `redis`, and the credentials of a sink."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.cli.main import main
from streamer.config.partial_config import salvage
from streamer.config.schema import Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.daemon.assignments import deliver_assignment
from streamer.daemon.topology import plan
from streamer.errors import ConfigError, Exit
from streamer.setup.doctor import examine
from streamer.sinks.redis import RedisSettings
from tests.daemon import Daemon


def written(folder: Path, text: str) -> ConfigStore:
    (folder / "streamer.yaml").write_text(f"timezone: UTC\n{text}")
    return ConfigStore(folder)


def test_without_a_word_of_it_there_is_one_sink_the_private_redis(tmp_path: Path) -> None:
    config = written(tmp_path, "").load()
    assert config.event_sinks == (RedisSettings(kind="redis", name="redis"),)
    assert config.private_redis == config.event_sinks[0]
    assert config.advice == []
    assert "redis" in plan(config).workers


def test_the_older_key_means_what_it_meant_and_names_the_newer(tmp_path: Path) -> None:
    store = written(tmp_path, "redis: {url: 'redis://box/0', stream_max_len: 5000}\n")
    newer = "sinks: [{kind: redis, url: redis://box/0, stream_max_len: 5000}]"
    config = store.load()
    assert config.advice == [f"redis: is the older way of {newer}"]
    assert written(tmp_path, newer).load().event_sinks == config.event_sinks
    assert "redis" not in plan(config).workers
    off = written(tmp_path, "redis: {enabled: false}\n").load()
    assert (off.event_sinks, off.advice) == ((), ["redis: is the older way of sinks: []"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sinks: []\nredis: {enabled: false}\n", "two ways of one thing: keep sinks"),
        (
            "sinks: [{kind: pulsar}]\n",
            "streamer.yaml:2: sinks[0]: kind: 'pulsar' is no kind of sink; known: redis, jsonl",
        ),
        ("sinks: [{url: 'redis://h/0'}]\n", "sinks[0]: kind: says where events go: redis, jsonl"),
        ("sinks: [{kind: redis, ulr: x}]\n", "sinks[0]: ulr: unknown key: did you mean 'url'?"),
        ("sinks: [{kind: redis, url: 'redis://:canary@h/0'}]\n", "put it into secrets.yaml"),
        ("sinks: [{kind: redis, url: 'http://canary'}]\n", "a Redis URL begins with"),
        ("sinks: [{kind: redis, stream_max_len: 1}]\n", "sinks[0]: stream_max_len: "),
        ("sinks: [{kind: redis}, {kind: redis, url: 'redis://h/0'}]\n", "two have the name redis"),
        ("sinks: [{kind: jsonl, path: /a}, {kind: jsonl, name: b, path: /a}]\n", "two write to /a"),
        ("sinks: [{kind: redis}, {kind: redis, name: b}]\n", "one private Redis is run at most"),
        ("sinks: [{kind: redis, name: 'A B'}]\n", "use 1 to 63 of a-z"),
        ("sinks: [redis]\n", "sinks[0]"),
        ("sinks: redis\n", "streamer.yaml:2: sinks"),
    ],
)
def test_what_is_wrong_with_a_sink_is_one_line_that_names_it(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, text).load()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "is a folder: name a file in it"),
        ("none/events.jsonl", "there is no folder"),
        ("pipe", "is no regular file"),
        ("events.jsonl", ""),
    ],
)
def test_a_check_names_a_file_of_events_that_cannot_be_written(
    short_dir: Path, path: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(short_dir / "pipe")
    folders = f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n"
    written(short_dir, f"{folders}sinks: [{{kind: jsonl, path: {short_dir}/{path}}}]\n")
    with pytest.raises(SystemExit) as left:
        main(["--config", str(short_dir), "run", "--check"])
    assert left.value.code == (Exit.STORAGE if words else Exit.OK)
    assert words in capsys.readouterr().err
    found = {check.name: check for check in examine(ConfigStore(short_dir))}
    assert ("jsonl" in found) == bool(words)


def test_a_file_with_both_keys_still_says_where_the_daemon_is(tmp_path: Path) -> None:
    store = written(tmp_path, "redis: {enabled: false}\nsinks: []\nruntime_dir: /run/here\n")
    assert salvage(store.file).runtime_path == Path("/run/here")


def test_each_sink_has_the_credentials_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sinks = "[{kind: redis, url: 'redis://a/0'}, {kind: redis, name: far-off, url: 'redis://b/0'}]"
    store = written(tmp_path, f"sinks: {sinks}\n")
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text("redis: {password: one}\nsinks: {far-off: {username: u, password: two}}\n")
    secrets.chmod(0o600)
    config = store.load()
    addresses = [SecretStore(store).sink_address(sink).reveal() for sink in config.event_sinks]
    assert addresses == ["redis://:one@a/0", "redis://u:two@b/0"]
    monkeypatch.setenv("STREAMER_SINK_FAR_OFF_PASSWORD", "three")
    monkeypatch.setenv("STREAMER_REDIS_PASSWORD", "four")
    addresses = [SecretStore(store).sink_address(sink).reveal() for sink in config.event_sinks]
    assert addresses == ["redis://:four@a/0", "redis://u:three@b/0"]


def test_the_worker_is_told_of_every_sink_and_the_ledger_s_document_holds_no_secret(tmp_path: Path) -> None:
    text = f"state_dir: {tmp_path}\nsinks: [{{kind: redis}}, {{kind: redis, name: b, url: 'redis://b/0'}}]\n"
    store = written(tmp_path, text)
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text("sinks: {b: {password: canary}}\n")
    secrets.chmod(0o600)
    active = SimpleNamespace(config=store.load(), rev=1, secrets=SecretStore(store), renames=())
    site: Any = SimpleNamespace(active=active, node="node", terms=SimpleNamespace(held=dict))
    told = deliver_assignment(plan(active.config).workers["deliver"], site)
    private, outside = told.sinks
    assert private.address.startswith("unix://streamer:")
    assert (outside.name, outside.address) == ("b", "redis://:canary@b/0")
    assert "stream_max_len" in told.config_json
    assert "canary" not in told.config_json + private.settings + outside.settings
    assert Config.model_validate_json(told.config_json).event_sinks == store.load().event_sinks


@pytest.mark.integration
@pytest.mark.usefixtures("redis_binary")
def test_a_daemon_with_the_older_key_says_so_in_its_log_and_tells_of_redis_under_both_keys(
    short_dir: Path,
) -> None:
    daemon = Daemon(short_dir, redis={"max_memory_mb": 64})
    try:
        daemon.start()
        status = daemon.wait_for(lambda s: "redis" in s["sinks"], 20, "the sink")
        assert "redis: is the older way of sinks: [{kind: redis, max_memory_mb: 64}]" in daemon.log()
        assert status["redis"] == status["sinks"]["redis"]
        (daemon.config_dir / "streamer.yaml").write_text(
            f"state_dir: {daemon.state_dir}\nruntime_dir: {daemon.runtime_dir}\nsinks: []\n"
        )
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        status = daemon.wait_for(lambda s: not s["sinks"], 20, "no sink")
        assert status["redis"] == {"state": "off"}
        assert "redis" not in {worker["name"] for worker in daemon.status()["workers"]}
    finally:
        daemon.kill()
