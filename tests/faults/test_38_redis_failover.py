"""Faults 7 and 38 where Redis is several servers: failover while events go there, moved slots, TLS, ACL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamer.errors import ConfigError
from streamer.ipc.redis_keys import events_key
from streamer.setup.doctor.installation import _redis_at
from streamer.sinks.base import SinkError
from streamer.sinks.redis import (
    READER_COMMANDS,
    WRITER_COMMANDS,
    RedisSettings,
    connect,
)
from streamer.sinks.redis_connection import CLUSTER_COMMANDS, SENTINEL_COMMANDS
from tests.certificates import Authority
from tests.faults import redis_rig
from tests.faults.delivery_rig import NODE, Rig, redis_at
from tests.faults.redis_rig import LOOPBACK, ended, read_back, refusal, sink, use_the_sink
from tests.redis_servers import SERVICE, Cluster, Node, SentinelGroup, Tls, free_port, until, with_login

pytestmark = pytest.mark.integration
CAMERAS = tuple(f"cam{n}" for n in range(9))  # which fall to all three nodes


@pytest.fixture
def keep() -> Iterator[Callable[[Any], Any]]:
    """Closes what it is given, the last first."""
    kept: list[Any] = []

    def keeping(one: Any) -> Any:
        kept.append(one)
        return one

    yield keeping
    for one in reversed(kept):
        one.close()


class RigAt(Rig):
    """Whose only sink is at `url`."""

    def __init__(self, folder: Path, url: str, cameras: tuple[str, ...]) -> None:
        super().__init__(folder, cameras=cameras)
        self._url, self.sinks = url, (redis_at(url),)
        self.start_delivery()
        self.resume()

    def client(self) -> Any:
        """Asked while a failover may go on."""
        return until(lambda: connect(self._url), "an answer")

    def settle(self) -> None:
        self.until(lambda: not self.sequencer.unacknowledged)
        self.until(lambda: self.sink_row().get("state") == "up", 60)
        self.until(lambda: all(self._has(camera) for camera in self.cameras), 60)

    def _has(self, camera: str) -> bool:
        return bool(until(lambda: self.in_redis(camera), "the stream")[-1] == self.sent[camera])

    def sink_row(self) -> dict[str, Any]:
        return dict(self.status.get("sinks", {}).get("redis", {}))


def use(url: str) -> None:
    """Everything that a sink does, of cameras all over a Cluster, and that `streamer events` reads."""
    use_the_sink(sink(url), CAMERAS, lambda: read_back(url, CAMERAS, 3))


# ---- Sentinel


def test_a_failover_in_the_middle_of_delivery_loses_and_repeats_nothing(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    group = keep(SentinelGroup(redis_binary, short_dir, password="canary-1", sentinel_password="canary-2"))
    settings = RedisSettings(kind="redis", name="redis", url=group.url())
    url = settings.for_sentinels(with_login(group.url(), "", "canary-1"), None, "canary-2")
    rig = keep(RigAt(short_dir, url, ("gate", "yard")))
    for _ in range(20):
        rig.count("gate", 5)
        rig.count("yard", 2)
        rig.pump(0.01)
    rig.settle()
    rig.until(lambda: rig.sink_row()["primary"] == f"127.0.0.1:{group.primary.port}")
    group.primary.kill()
    while group.replica.ask("ROLE")[0] != "master":
        rig.count("gate", 3)
        rig.pump(0.05)
    rig.settle()
    rig.assert_each_once()
    rig.until(lambda: rig.sink_row()["primary"] == f"127.0.0.1:{group.replica.port}")
    assert rig.sink_row()["resyncs"] > len(rig.cameras)
    assert "canary" not in str(rig.status)


def test_an_idle_camera_s_lost_events_are_noticed_without_a_new_one(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    group = keep(SentinelGroup(redis_binary, short_dir))
    rig = keep(RigAt(short_dir, group.url(), ("gate",)))
    rig.count("gate", 30)
    rig.settle()
    until(lambda: group.replica.ask("XLEN", events_key(NODE, "gate")) == 30, "the replica's copy")
    group.replica.ask("CONFIG", "SET", "replica-read-only", "no")
    group.replica.ask("DEL", events_key(NODE, "gate"))  # as a replica that was far behind
    group.primary.kill()
    group.wait_for_replica()
    rig.settle()
    rig.assert_each_once()


def test_sentinels_that_refuse_or_know_nothing_are_told_apart(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    group = keep(SentinelGroup(redis_binary, short_dir, sentinel_password="canary-2"))
    settings = RedisSettings(kind="redis", name="redis", url=group.url())
    knows = settings.for_sentinels(group.url(), None, "canary-2")
    use(knows)
    for wrong in (group.url(), settings.for_sentinels(group.url(), None, "canary-9")):
        assert "sentinel_password" in str(refused := refusal(sink(wrong)))
        assert refused.kind == "auth"
    absent = refusal(sink(knows.replace(SERVICE, "other")))
    assert (absent.kind, "other" in str(absent)) == ("down", True)
    no_sentinel = f"redis+sentinel://127.0.0.1:{group.primary.port}/{SERVICE}"
    assert "addresses of the sentinels" in str(refusal(sink(no_sentinel)))


def test_the_listed_commands_are_enough_at_the_sentinels_and_one_less_is_not(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    group = keep(SentinelGroup(redis_binary, short_dir, sentinel_password="canary-2"))
    settings = RedisSettings(kind="redis", name="redis", url=group.url())
    url = settings.for_sentinels(group.url(), "least", "canary-3")
    for allowed, works in ((SENTINEL_COMMANDS, True), ((), False)):
        rights = ["reset", "on", ">canary-3", "-@all", *(f"+{command}" for command in allowed)]
        for node in group.sentinels:
            node.ask("ACL", "SETUSER", "least", *rights)
        if works:
            use(url)
        else:
            assert refusal(sink(url)).kind == "auth"


# ---- Cluster


def test_a_cluster_takes_all_that_a_sink_does_and_a_slot_that_moves_costs_nothing(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    cluster = keep(Cluster(redis_binary, short_dir))
    use(cluster.url())
    rig = keep(RigAt(short_dir, cluster.url(), CAMERAS))
    for n in range(40):
        for camera in CAMERAS:
            rig.count(camera, 2)
        rig.pump(0.01)
        if n in (15, 30):
            cluster.move_slot_of(events_key(NODE, CAMERAS[n // 15]))
    rig.settle()
    rig.assert_each_once()
    held = [keys - {"streamer:cameras"} for keys in cluster.held()]
    assert all(held), "every node has some"
    assert len(set().union(*held)) == sum(map(len, held))
    assert sink(cluster.url()).write("gate", None, ended("gate", 1, 1))
    said = [
        str(refusal(sink(f"redis://127.0.0.1:{node.port}/0")))
        for node in cluster.nodes
        if not holds(node, "gate")
    ]
    assert said
    assert all("redis+cluster://" in text for text in said)


def holds(node: Node, camera: str) -> bool:
    return bool(
        node.ask(
            "CLUSTER", "COUNTKEYSINSLOT", node.ask("CLUSTER", "KEYSLOT", events_key(redis_rig.NODE, camera))
        )
    )


def test_a_cluster_s_node_that_dies_in_the_middle_of_delivery_loses_and_repeats_nothing(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    cluster = keep(Cluster(redis_binary, short_dir, replica=True))
    rig = keep(RigAt(short_dir, cluster.url(), CAMERAS))
    for _ in range(10):
        for camera in CAMERAS:
            rig.count(camera, 3)
        rig.pump(0.01)
    rig.settle()
    cluster.nodes[0].kill()
    while cluster.nodes[3].ask("ROLE")[0] != "master":
        rig.count(CAMERAS[0], 2)
        rig.count(CAMERAS[4], 2)
        rig.pump(0.05)
    rig.settle()
    rig.assert_each_once()


def test_the_listed_commands_are_enough_in_a_cluster_and_one_less_is_not(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    cluster = keep(Cluster(redis_binary, short_dir))
    url = with_login(cluster.url(), "least", "canary-3")

    def allow(*commands: str) -> None:
        rights = [
            "reset",
            "on",
            ">canary-3",
            "~streamer:*",
            "-@all",
            *(f"+{command}" for command in commands),
        ]
        for node in cluster.nodes:
            node.ask("ACL", "SETUSER", "least", *rights)

    allow(*WRITER_COMMANDS, *READER_COMMANDS, *CLUSTER_COMMANDS)
    use(url)
    for missing in CLUSTER_COMMANDS:
        allow(*WRITER_COMMANDS, *(command for command in CLUSTER_COMMANDS if command != missing))
        assert refusal(sink(url)).kind == "auth", missing


# ---- TLS


def test_sentinels_and_a_cluster_s_nodes_are_trusted_by_the_named_ca_alone(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    ours, stranger = Authority(short_dir / "ca"), Authority(short_dir / "other")
    tls = Tls(ours.ca, *ours.sign("good", LOOPBACK))
    group = keep(SentinelGroup(redis_binary, short_dir, tls=tls, password="canary-1"))
    cluster = keep(Cluster(redis_binary, short_dir, tls=tls, password="canary-1"))
    for servers in (group, cluster):
        url = with_login(servers.url(), "", "canary-1")
        refused = refusal(sink(url, tls_ca=stranger.ca))
        assert (refused.kind, "tls_ca" in str(refused)) == ("auth", True)
        settings = RedisSettings(kind="redis", name="redis", url=servers.url(), tls_ca=ours.ca)
        use(settings.completed(url, None))


def test_a_cluster_s_node_with_another_s_certificate_gets_no_password(
    redis_binary: str, short_dir: Path, keep: Callable[[Any], Any]
) -> None:
    """One that another node names is judged as the named ones are."""
    ours, stranger = Authority(short_dir / "ca"), Authority(short_dir / "other")
    good = Tls(ours.ca, *ours.sign("good", LOOPBACK))
    cluster = keep(Cluster(redis_binary, short_dir, tls=good))
    false = Tls(stranger.ca, *stranger.sign("false", LOOPBACK))
    cluster.nodes[1].ask("CONFIG", "SET", "tls-cert-file", str(false.cert), "tls-key-file", str(false.key))
    only_first = f"rediss+cluster://127.0.0.1:{cluster.nodes[0].port}"
    target = sink(only_first, tls_ca=ours.ca)
    kinds = set()
    for camera in CAMERAS:
        try:
            target.write(camera, None, ended(camera, 1, 1))
            kinds.add("written")
        except SinkError as error:
            kinds.add(f"{error.kind}, {'tls_ca' in str(error)}")
    target.close()
    assert kinds == {"written", "auth, True"}


# ---- URLs


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+sentinel://a:1,b:2", "names the service"),
        ("redis+sentinel://a:1/s/0/1", "names the service"),
        ("redis+sentinel:///s", "hosts with commas"),
        ("redis+cluster://a:1,b:2/3", "database 0 alone"),
        ("redis+cluster://a:1,:2", "hosts with commas"),
        ("redis+cluster://:canary@a:1", "secrets.yaml"),
        ("rediss+cluster://a:1?ssl_cert_reqs=none", "tls_ca"),
        ("redis+cluster://a:1#x", "holds a #"),
        ("redis+other://a:1", "begins with redis://"),
    ],
)
def test_a_url_that_cannot_work_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        RedisSettings(kind="redis", name="redis", url=url)
    assert "canary" not in str(caught.value.errors()[0]["msg"])


def test_a_sentinel_s_password_without_sentinels_is_refused() -> None:
    settings = RedisSettings(kind="redis", name="redis", url="redis://box/0")
    with pytest.raises(ConfigError, match="belong to a redis\\+sentinel"):
        settings.for_sentinels("redis://box/0", None, "canary")


def test_doctor_names_the_sentinels_and_nodes_that_do_not_answer(redis_binary: str, short_dir: Path) -> None:
    node, dead = Node(redis_binary, short_dir), free_port()
    try:
        here, there = f"127.0.0.1:{node.port}", f"127.0.0.1:{dead}"
        for url, level, words in (
            (f"redis+sentinel://{here},{there}/s/0", "warn", f"sentinels of s: 1 of 2 answer, not {there}"),
            (f"redis+cluster://{here},{here}", "ok", "nodes of the Cluster: all 2 answer"),
            (f"redis+cluster://{here}", "warn", "the only one"),
            (f"rediss://{here}/0", "ok", f"{here} answers"),
        ):
            check = _redis_at("redis", url)
            assert (check.level, words in check.text) == (level, True), check
    finally:
        node.kill()
