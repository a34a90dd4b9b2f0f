"""redis-servers on loopback as larger sites run them: a primary and a replica with sentinels, a Cluster."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from tests.conftest import missing_part
from tests.patience import patient

SERVICE = "streamer-events"
SLOTS = 16384
DOWN_AFTER_MS = 500  # of sentinels and of a Cluster's nodes


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def until(true: Callable[[], Any], what: str, limit_s: float = 30.0) -> Any:
    """What `true` answers at last; a refused connection is no answer."""
    end_s = time.monotonic() + patient(limit_s)
    while time.monotonic() < end_s:
        try:
            if found := true():
                return found
        except (redis.RedisError, OSError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {limit_s} s")


@dataclass(frozen=True)
class Tls:
    """Files for a server, and for who looks at it."""

    ca: Path
    cert: Path
    key: Path

    def options(self, port: int) -> list[str]:
        files = ["--tls-cert-file", self.cert, "--tls-key-file", self.key, "--tls-ca-cert-file", self.ca]
        ports = ["--port", "0", "--tls-port", port, "--tls-replication", "yes", "--tls-cluster", "yes"]
        return list(map(str, [*ports, *files, "--tls-auth-clients", "no"]))


class Node:
    """One process that answers on `port`. `password` is that of everybody: clients, replicas, sentinels."""

    def __init__(
        self, binary: str, folder: Path, *options: str, tls: Tls | None = None, password: str = ""
    ) -> None:
        self.port = free_port()
        self._tls, self._password = tls, password
        self._log = folder / f"{self.port}.log"
        own = folder / str(self.port)
        own.mkdir()
        config = own / "redis.conf"  # sentinels write to theirs
        ports = tls.options(self.port) if tls else ["--port", str(self.port)]
        words = [*ports, "--bind", "127.0.0.1", "--dir", str(own), "--logfile", str(self._log), *options]
        config.write_text("".join(_lines(words)))
        self._command = [binary, str(config), *(["--sentinel"] if "--sentinel" in options else [])]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until(self._answers, f"an answer of redis-server on {self.port}")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            missing_part(f"a redis-server of this kind: {self._log.read_text()[-300:]}")
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self) -> str:
        """Its address, without a password."""
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}/0"

    def ask(self, *words: str | int) -> Any:
        """A command's answer, as somebody with all rights gets it."""
        tls = {"ssl": True, "ssl_ca_certs": str(self._tls.ca)} if self._tls else {}
        login = {"password": self._password} if self._password else {}
        with redis.Redis("127.0.0.1", self.port, decode_responses=True, protocol=2, **tls, **login) as client:  # type: ignore[arg-type]
            return client.execute_command(*words)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _lines(words: list[str]) -> list[str]:
    """Command line options as lines of a configuration."""
    lines: list[str] = []
    for word in words:
        if word == "--sentinel":
            continue
        lines.append(f"\n{word[2:]}" if word.startswith("--") else f" {word or chr(34) * 2}")
    return lines


class SentinelGroup:
    """A primary, one replica and three sentinels, which two of them are enough to agree."""

    def __init__(
        self,
        binary: str,
        folder: Path,
        *,
        tls: Tls | None = None,
        password: str = "",
        sentinel_password: str = "",
    ) -> None:
        self._tls, self._scheme = tls, "rediss" if tls else "redis"
        self._nodes: list[Node] = []

        def begin(*options: str, of_all: str = password) -> Node:
            self._nodes.append(Node(binary, folder, *options, tls=tls, password=of_all))
            return self._nodes[-1]

        login = ["--requirepass", password, "--masterauth", password] if password else []
        keep = ["--save", "", "--repl-diskless-sync-delay", "0"]
        try:
            self.primary = begin(*keep, *login)
            self.replica = begin(*keep, *login, "--replicaof", f"127.0.0.1 {self.primary.port}")
            own = ["--requirepass", sentinel_password] if sentinel_password else []
            watch = ["--sentinel", *own, *self._watch(password)]
            self.sentinels = [begin(*watch, of_all=sentinel_password) for _ in range(3)]
            until(self._ready, "that all of the group know each other")
        except BaseException:
            self.close()
            raise

    def _watch(self, password: str) -> list[str]:
        auth = [f"--sentinel auth-pass {SERVICE} {password}"] if password else []
        return [
            f"--sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} 2",
            *auth,
            f"--sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"--sentinel failover-timeout {SERVICE} 3000",
        ]

    def _ready(self) -> bool:
        known = [_pairs(node.ask("SENTINEL", "MASTER", SERVICE)) for node in self.sentinels]
        all_known = all((k["num-slaves"], k["num-other-sentinels"]) == ("1", "2") for k in known)
        return all_known and _follows(self.replica)

    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"{self._scheme}+sentinel://{places}/{SERVICE}/0"

    def wait_for_replica(self) -> None:
        """Until the replica serves as the primary."""
        until(lambda: self.replica.ask("ROLE")[0] == "master", "the failover")

    def close(self) -> None:
        for node in self._nodes:
            node.kill()


def _follows(node: Node) -> bool:
    """Whether a replica has caught up with its primary."""
    return bool(node.ask("INFO", "replication")["master_link_status"] == "up")


def _pairs(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):  # as redis-py has it
        return {str(key): str(value) for key, value in answer.items()}
    return dict(zip(answer[::2], answer[1::2], strict=True))


class Cluster:
    """Three primaries with a third of the slots each, and a replica of the first where one is asked for."""

    def __init__(
        self, binary: str, folder: Path, *, tls: Tls | None = None, password: str = "", replica: bool = False
    ) -> None:
        self._binary, self._folder, self._tls, self._password = binary, folder, tls, password
        self._bus: dict[int, int] = {}
        self.nodes: list[Node] = []
        try:
            self._begin(replica)
        except BaseException:
            self.close()
            raise

    def _begin(self, replica: bool) -> None:
        self.nodes += [self._node() for _ in range(4 if replica else 3)]
        for n, node in enumerate(self.nodes[:3]):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            node.ask("CLUSTER", "ADDSLOTS", *range(n * SLOTS // 3, (n + 1) * SLOTS // 3))
        for node in self.nodes[1:]:
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, self._bus[node.port])
        until(self._whole, "that the Cluster is whole")
        if replica:
            self.nodes[3].ask("CLUSTER", "REPLICATE", self.id_of(self.nodes[0]))
            until(self._replicates, "that the replica follows")

    def _node(self) -> Node:
        bus = free_port()
        login = ["--requirepass", self._password, "--masterauth", self._password] if self._password else []
        options = [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            str(bus),
            "--cluster-node-timeout",
            str(DOWN_AFTER_MS),
        ]
        keep = ["--save", "", "--repl-diskless-sync-delay", "0"]
        node = Node(
            self._binary, self._folder, *options, *keep, *login, tls=self._tls, password=self._password
        )
        self._bus[node.port] = bus
        return node

    def _whole(self) -> bool:
        return all(
            "cluster_state:ok" in (info := _text(node.ask("CLUSTER", "INFO")))
            and f"cluster_known_nodes:{len(self.nodes)}" in info
            for node in self.nodes
        )

    def _replicates(self) -> bool:
        seen = all("slave" in _text(node.ask("CLUSTER", "NODES")) for node in self.nodes)
        return seen and _follows(self.nodes[3])

    def id_of(self, node: Node) -> str:
        return str(node.ask("CLUSTER", "MYID"))

    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"{'rediss' if self._tls else 'redis'}+cluster://{places}"

    def held(self) -> list[set[str]]:
        """What each primary holds."""
        return [set(node.ask("KEYS", "*")) for node in self.nodes[:3]]

    def wait_for_replica(self) -> None:
        until(lambda: self.nodes[3].ask("ROLE")[0] == "master", "the failover")

    def move_slot_of(self, key: str) -> None:
        """To the next node, with its keys, as redis-cli --cluster reshard does it."""
        slot = int(self.nodes[0].ask("CLUSTER", "KEYSLOT", key))
        at = slot * 3 // SLOTS
        source, target = self.nodes[at], self.nodes[(at + 1) % 3]
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        while held := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
            auth = ["AUTH", self._password] if self._password else []
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *auth, "KEYS", *held)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def close(self) -> None:
        for node in self.nodes:
            node.kill()


def _text(answer: Any) -> str:
    """redis-py parses some of what CLUSTER says."""
    if isinstance(answer, dict):
        return "".join(
            f"{key}:{value['flags'] if isinstance(value, dict) else value}\n" for key, value in answer.items()
        )
    return str(answer)


def with_login(url: str, username: str, password: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(username)}:{quote(password)}@{rest}"
