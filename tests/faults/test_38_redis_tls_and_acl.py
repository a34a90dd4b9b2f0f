"""Fault 38: Redis behind TLS that is not to be trusted gets nothing; one with the least rights gets all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import ValidationError

from streamer.daemon import redis_server
from streamer.errors import RedisError
from streamer.events.cloudevents import EventId
from streamer.sinks.base import SinkError
from streamer.sinks.redis import (
    READER_COMMANDS,
    WRITER_COMMANDS,
    RedisSettings,
    RedisSink,
    connect,
)
from tests.certificates import Authority
from tests.daemon import Daemon
from tests.faults.redis_rig import LINEAGE, LOOPBACK, read_back, refusal, sink, use_the_sink, write
from tests.moving import camera
from tests.redis_servers import Node, Tls, with_login

pytestmark = pytest.mark.integration
CAMERA = ("gate",)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody named."""
    return Authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture
def serve(redis_binary: str, short_dir: Path) -> Iterator[Callable[..., Node]]:
    """Begins redis-servers that speak TLS alone."""
    running: list[Node] = []

    def begin(authority: Authority, pair: tuple[Path, Path], *more: str, password: str = "") -> Node:
        login = ["--requirepass", password] if password else []
        tls, words = Tls(authority.ca, *pair), ["--save", "", *login, *more]
        running.append(Node(redis_binary, short_dir, *words, tls=tls, password=password))
        return running[-1]

    yield begin
    for node in running:
        node.kill()


def refused(target: RedisSink, *kinds: str) -> str:
    error = refusal(target)
    assert error.kind in (kinds or ("auth",)), error
    return str(error)


def test_a_server_that_the_named_ca_has_signed_is_written_to(
    serve: Callable[..., Node], authority: Authority
) -> None:
    server = serve(authority, authority.sign("good", LOOPBACK))
    assert write(sink(server.url(), tls_ca=authority.ca)) == EventId(LINEAGE, 1)


def test_a_wrong_ca_an_expired_certificate_and_another_name_are_refused_and_get_nothing(
    serve: Callable[..., Node], authority: Authority, stranger: Authority
) -> None:
    for problem, signer, names, expired in (
        ("self-signed certificate", stranger, LOOPBACK, False),
        ("expired", authority, LOOPBACK, True),
        ("mismatch", authority, "IP:127.0.0.9,DNS:redis.example", False),
    ):
        server = serve(signer, signer.sign("server", names, expired=expired))
        said = refused(sink(server.url(), tls_ca=authority.ca))
        assert problem in said
        assert "tls_ca" in said
        assert keys_of(server) == 0


def keys_of(server: Node) -> int:
    """Looked at without any check, which the product refuses to do."""
    with redis.Redis(port=server.port, ssl=True, ssl_cert_reqs="none", ssl_check_hostname=False) as client:
        return int(client.dbsize())


def test_without_a_named_ca_the_system_s_are_asked_and_ours_is_not_among_them(
    serve: Callable[..., Node], authority: Authority
) -> None:
    server = serve(authority, authority.sign("good", LOOPBACK))
    assert "tls_ca" in refused(sink(server.url()))


@pytest.mark.parametrize(
    "query", ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=False"]
)
def test_no_url_can_switch_the_check_off(query: str) -> None:
    url = f"rediss://redis.example/0?{query}"
    with pytest.raises(ValidationError, match=r"leaves it open who answers.*tls_ca"):
        RedisSettings(kind="redis", name="redis", url=url)
    with pytest.raises(RedisError, match=r"leaves it open who answers.*tls_ca"):  # from the secrets, too
        connect(url)


def test_settings_of_tls_that_would_have_no_effect_are_refused() -> None:
    for url, tls, words in (
        ("redis://redis.example", {"tls_ca": "/ca.crt"}, "rediss://"),
        ("rediss://redis.example", {"tls_key": "/a.key"}, "tls_cert"),
        ("rediss://redis.example", {"tls_ca": "ca.crt"}, "absolute"),
    ):
        with pytest.raises(ValidationError, match=words):
            RedisSettings.model_validate({"kind": "redis", "url": url, **tls})


def test_a_server_that_wants_our_certificate_gets_it_with_the_password_of_its_key(
    serve: Callable[..., Node], authority: Authority, stranger: Authority
) -> None:
    server = serve(authority, authority.sign("good", LOOPBACK), "--tls-auth-clients", "yes")
    cert, key = authority.sign("client", "DNS:box.example", key_password="canary-4711")
    ours = {"tls_ca": authority.ca, "tls_cert": cert, "tls_key": key}
    assert write(sink(server.url(), "canary-4711", **ours)) == EventId(LINEAGE, 1)
    for wrong in (None, "canary-wrong"):
        with pytest.raises(SinkError) as caught:
            write(sink(server.url(), wrong, **ours))
        assert "canary" not in str(caught.value)
    # Refused after the handshake, which ends in an alert or in nothing at all.
    assert "tls_cert" in refused(sink(server.url(), tls_ca=authority.ca), "auth", "down")
    other, other_key = stranger.sign("client", "DNS:box.example")
    strange = sink(server.url(), tls_ca=authority.ca, tls_cert=other, tls_key=other_key)
    assert "tls_cert" in refused(strange, "auth", "down")
    settings = RedisSettings(kind="redis", name="x", url=server.url(), tls_ca=authority.ca / "away")
    assert "check its path" in settings.fault()


def test_a_daemon_keeps_its_events_until_the_server_can_be_trusted(
    serve: Callable[..., Node],
    authority: Authority,
    stranger: Authority,
    short_dir: Path,
    moving_clip: Path,
) -> None:
    server = serve(authority, authority.sign("good", LOOPBACK), password="canary-7")
    entry = {"kind": "redis", "name": "office", "url": server.url()}
    daemon = Daemon(short_dir / "d", inference={"engine": "motion"}, counts={"bucket_s": 1},
                    sinks=[{**entry, "tls_ca": str(stranger.ca)}])  # fmt: skip
    try:
        daemon.write_camera(camera("gate", moving_clip, loop=True))
        daemon.start(env={"STREAMER_SINK_OFFICE_PASSWORD": "canary-7"})
        daemon.wait_for(lambda s: "not trusted" in sink_row(s)["last_error"], 30, "the refusal to be shown")
        daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 20, 30, "counting to go on")
        assert server_keys(server, authority) == []
        settings = daemon.config_dir / "streamer.yaml"
        settings.write_text(settings.read_text().replace(str(stranger.ca), str(authority.ca)))
        assert daemon.process is not None
        os.kill(daemon.process.pid, 1)
        daemon.wait_for(lambda s: sink_row(s)["state"] == "up" and sink_row(s)["written"], 40, "the events")
        daemon.wait_for(lambda _: len(server_keys(server, authority)) > 2, 20, "the states beside them")
        assert "canary-7" not in daemon.log()
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def sink_row(status: dict[str, Any]) -> dict[str, Any]:
    return dict(status["sinks"]["office"])


def server_keys(server: Node, authority: Authority) -> list[bytes]:
    settings = RedisSettings(kind="redis", name="x", url=server.url(), tls_ca=authority.ca)
    client = connect(settings.completed(f"rediss://:canary-7@127.0.0.1:{server.port}/0", None))
    try:
        return list(client.keys("*"))
    finally:
        client.close()


# ---- the least rights


@pytest.fixture
def plain(redis_binary: str, short_dir: Path) -> Iterator[Node]:
    """A Redis with nothing but its default user."""
    node = Node(redis_binary, short_dir, "--save", "")
    yield node
    node.kill()


def allow(node: Node, commands: tuple[str, ...]) -> str:
    """A user who may do `commands` on our keys and nothing else; its URL."""
    rights = ["reset", "on", ">secret", "~streamer:*", "-@all", *(f"+{command}" for command in commands)]
    node.ask("ACL", "SETUSER", "least", *rights)
    node.ask("SCRIPT", "FLUSH")
    return with_login(node.url(), "least", "secret")


def test_the_listed_commands_are_enough_for_a_sink_and_one_less_is_not(plain: Node) -> None:
    use_the_sink(sink(allow(plain, WRITER_COMMANDS)), CAMERA)
    for missing in WRITER_COMMANDS:
        rest = tuple(command for command in WRITER_COMMANDS if command != missing)
        with pytest.raises(SinkError) as caught:
            use_the_sink(sink(allow(plain, rest)), CAMERA)
        assert caught.value.kind == "auth", missing


def test_the_listed_commands_are_enough_for_reading_and_one_less_is_not(plain: Node) -> None:
    read_back(allow(plain, READER_COMMANDS), CAMERA, 0)
    for missing in READER_COMMANDS:
        rest = tuple(command for command in READER_COMMANDS if command != missing)
        with pytest.raises(RedisError, match="ACL"):
            read_back(allow(plain, rest), CAMERA, 0)


def test_the_private_redis_gives_its_writer_no_more_than_that_and_what_every_client_says() -> None:
    polite = {"ping", "hello", "auth", "select", "reset", "quit", "client|setname"}
    given = {word.removeprefix("+") for word in redis_server._WRITER_MAY.split()}
    assert given - polite == set(WRITER_COMMANDS)


def test_the_documents_list_these_commands(repo: Path) -> None:
    for page in ("SECURITY.md", "docs/operator-guide.md"):
        text = (repo / page).read_text()
        for commands in (WRITER_COMMANDS, READER_COMMANDS):
            assert " ".join(f"+{command}" for command in commands) in text, page
