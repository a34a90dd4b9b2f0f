"""Checks of this installation: configuration, permissions, folders, Redis, cameras' addresses, the daemon."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.detect.model import sha256_of
from streamer.api import control_socket as control
from streamer.config.schema import Config
from streamer.config.secrets import SecretStore, secret_files
from streamer.config.store import ConfigStore, is_camera_file, way_out
from streamer.daemon import redis_server
from streamer.errors import ConfigError, RedisError, StreamerError
from streamer.events.cloudevents import parse_rfc3339_ns
from streamer.ledger import LedgerReader
from streamer.ledger.retention import NS_PER_DAY
from streamer.models.store import ModelStore
from streamer.setup.doctor.check import Check, fail, ok, warn
from streamer.setup.doctor.page import check_page
from streamer.sinks.redis_url import parse_redis_url
from streamer.sinks.sink_address import NetworkSettings
from streamer.sources.urls import host_and_port, lookup_scheme

SOCKET_NAME = "supervisor.ipc"  # the longest name that the daemon binds in its runtime folder
SPARE_BYTES = 1 << 30  # beside the ledger: models, logs, backups
NETWORK_TIMEOUT_S = 3.0
MIN_REDIS = (6, 0)  # the first with ACL users


def check_config(store: ConfigStore) -> tuple[Config, list[Check]]:
    """The configuration if it is valid, else the defaults, so that the other checks still run."""
    usual = Config(state_dir=store.default_state_dir(), runtime_dir=store.default_runtime_dir())
    if not store.exists():
        return usual, [warn("configuration", f"none at {store.file}", "write one with `streamer init`")]
    try:
        config, faults = store.load_partly()
    except ConfigError as error:
        return usual, [
            fail("configuration", str(error), "mend it; a running daemon keeps the old one meanwhile")
        ]
    text = f"{store.file}: {len(config.cameras)} cameras, timezone {config.timezone}"
    if not config.cameras and not faults:
        return config, [warn("configuration", text, "add one: `streamer camera add NAME URL`")]
    return config, [ok("configuration", text), *(_left_out(*fault) for fault in faults.items())]


def _left_out(path: Path, fault: ConfigError) -> Check:
    """A file of cameras.d that cannot be used: the daemon starts without it."""
    if not is_camera_file(path):
        return warn("configuration", f"{fault}; the cameras run", "only cameras' files belong there")
    return warn(f"camera {path.stem}", f"{fault}; it is left out, and all others run", way_out(path))


def check_secret_files(store: ConfigStore, config: Config) -> list[Check]:
    """A file with passwords that others may read, or that says nothing that can be used."""
    checks = _secret_modes(store)
    if all(check.level == "ok" for check in checks):
        try:
            secrets = SecretStore(store)
            for sink in config.event_sinks:
                secrets.sink_address(sink)
        except ConfigError as error:
            advice = (
                "mend it: the daemon leaves out cameras and sinks whose secrets may be there, and these alone"
            )
            checks = [fail("secrets", str(error), advice)]
    return checks


def _secret_modes(store: ConfigStore) -> list[Check]:
    checks = []
    for path in secret_files(store):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue
        except PermissionError:
            checks.append(
                warn(
                    "secrets",
                    f"{path} cannot be seen by this user",
                    "run doctor as root or the service's user",
                )
            )
            continue
        if not os.access(path, os.R_OK):
            advice = "run doctor as root or the service's user"
            checks.append(warn("secrets", f"{path} cannot be read by this user", advice))
        elif mode & 0o077:
            checks.append(
                fail("secrets", f"{path} has mode {mode:o}: others can read it", f"chmod 600 {path}")
            )
        else:
            checks.append(ok("secrets", f"{path} has mode {mode:o}"))
    return checks


def check_state_folder(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    folder = config.state_path
    place = _nearest(folder)
    if not os.access(place, os.W_OK | os.X_OK):
        advice = "if it is the service's, run doctor with sudo; else set state_dir to a folder of your own"
        return [warn("state folder", f"{folder} is not writable by this user", advice)]
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize
    text = f"{folder}, {free >> 20} MiB free"
    needed = (config.ledger.max_mb << 20) + SPARE_BYTES
    if free < needed:
        advice = f"the ledger may grow to {config.ledger.max_mb} MiB: free some, or lower ledger.max_mb"
        return [warn("state folder", text, advice)]
    return [ok("state folder", text)]


def check_ledger(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    """Whether the ledger can be read, and what damage was found in it within the time that it keeps."""
    path = config.ledger_path
    if _hidden(path.parent) or not path.exists():
        return []  # the state folder's check says it, or nothing was counted yet
    try:
        reader = LedgerReader(path)
        try:
            report = reader.status()
        finally:
            reader.close()
    except StreamerError as error:
        return [fail("ledger", str(error), "start the daemon, which salvages it, or restore a backup")]
    if "damage" not in report or _age_days(report["damaged_at"]) > config.ledger.retention_days:
        return [ok("ledger", f"{path}: {report['committed']} events committed")]
    advice = "counts before that may lack events: compare with Redis or a backup, and check the disk"
    return [warn("ledger", f"{report['damaged_at']}: {path} {report['damage']}", advice)]


def _age_days(at: str) -> float:
    return (time.time_ns() - parse_rfc3339_ns(at)) / NS_PER_DAY


def _nearest(path: Path) -> Path:
    """`path`, or the deepest folder on the way to it that is there."""
    while not path.exists():
        path = path.parent
    return path


def check_runtime_folder(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    folder = config.runtime_path
    length = len(os.fsencode(folder / SOCKET_NAME))
    if length > control.MAX_PATH:
        advice = f"set runtime_dir to a path at least {length - control.MAX_PATH} bytes shorter"
        return [fail("runtime folder", f"{folder} is too long for a socket path", advice)]
    return [ok("runtime folder", str(folder))]


def check_models(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    """Whether the files of the models, and of the one in the package, are what they were; none is loaded."""
    models = ModelStore(config.state_path / "models")
    try:
        if _hidden(models.folder):
            return [warn("models", f"{models.folder} cannot be seen by this user", "run doctor with sudo")]
        installed = models.installed()
        changed = [item.name for item in installed if sha256_of(item.path) != item.card.sha256]
        _, default = models.choose(config.inference.engine, None)
    except (StreamerError, OSError) as error:
        return [fail("models", str(error), "`streamer model verify` says more")]
    if changed:
        advice = "`streamer model remove NAME`, then add it again from where it came"
        return [fail("models", f"changed since they were added: {', '.join(changed)}", advice)]
    names = ", ".join(item.name for item in installed)
    used = default.display_name if default is not None else "motion, which knows one class, object"
    return [ok("models", f"default: {used}" + (f"; installed: {names}" if names else ""))]


def _hidden(path: Path) -> bool:
    """Whether this user may not even know if `path` is there."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    return not os.access(path, os.R_OK | os.X_OK)


def check_sinks(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    """What can be said of sinks by looking at them."""
    advice = "mend it; events wait in the ledger until then"
    faults = [warn(sink.name, fault, advice) for sink in config.event_sinks if (fault := sink.fault())]
    over_network = [sink for sink in config.event_sinks if isinstance(sink, NetworkSettings)]
    return [*faults, *(_reached(sink.name, sink.hosts) for sink in over_network)]


def _reached(name: str, hosts: list[tuple[str, int]]) -> Check:
    """Whether one of them takes a connection; nothing is sent."""
    place = ", ".join(f"{host}:{port}" for host, port in hosts)
    if any(_connects(host, port) for host, port in hosts):
        return ok(name, f"{place} answers")
    return _silent(name, place)


def check_redis(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    """The private server's binary, or whether a configured one is reached; no command is sent to it."""
    if not config.event_sinks:
        return [ok("sinks", "none: events stay in the ledger")]
    return [_redis_at(s.name, s.url) if s.url else _redis_binary() for s in config.redis_sinks]


def _redis_binary() -> Check:
    try:
        binary = redis_server.binary()
    except RedisError as error:
        text, _, advice = str(error).partition(": ")
        return fail("redis", text, advice)
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return fail("redis", f"{binary} does not run: {error}", "apt-get install --reinstall redis-server")
    words = dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)
    version = words.get("v", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < MIN_REDIS:
        return fail("redis", f"{binary} is version {version or 'unknown'}", "Redis 6.0 or newer is needed")
    return ok("redis", f"{binary}, version {version}; a private one is run")


def _redis_at(name: str, url: str) -> Check:
    """One server, or those who know where it is: sentinels, nodes of a Cluster."""
    where = parse_redis_url(url)
    if not where.hosts:
        path = urlsplit(url).path
        return ok(name, f"{path} answers") if Path(path).is_socket() else _silent(name, path)
    if where.topology == "server":
        return _reached(name, list(where.hosts))
    silent = [place for place, host in zip(where.places, where.hosts, strict=True) if not _connects(*host)]
    who = f"sentinels of {where.service}" if where.topology == "sentinel" else "nodes of the Cluster"
    count = len(where.hosts)
    if silent:
        text = f"{who}: {count - len(silent)} of {count} answer, not {', '.join(silent)}"
        return warn(name, text, "start them or mend the sink's url; events wait while none answers")
    if count == 1:
        return warn(
            name, f"{who}: {where.places[0]} answers, and is the only one", "name two more in the sink's url"
        )
    return ok(name, f"{who}: all {count} answer")


def _silent(name: str, place: str) -> Check:
    advice = "start it or mend the sink's url; events wait in the ledger until then"
    return warn(name, f"{place} does not answer", advice)


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=NETWORK_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def check_camera_hosts(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    """Whether the address of each camera of the network resolves and its port opens, all at the same time."""
    targets = {
        camera.name: host_and_port(camera.url)
        for camera in config.cameras
        if camera.enabled and lookup_scheme(camera.url).network
    }
    answers: dict[str, bool] = {}

    def ask(name: str) -> None:
        answers[name] = _connects(*targets[name])

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * NETWORK_TIMEOUT_S)  # resolving a name has no timeout of its own
    return [_camera(name, *targets[name], answers.get(name, False)) for name in targets]


def _camera(name: str, host: str, port: int, answered: bool) -> Check:
    if answered:
        return ok(f"camera {name}", f"{host}:{port} answers")
    advice = f"check power, cable and address, then `streamer camera test {name}`"
    return warn(f"camera {name}", f"{host}:{port} does not answer", advice)


def check_daemon(store: ConfigStore, config: Config) -> list[Check]:  # noqa: ARG001
    if not config.control_path.exists():
        return [ok("daemon", "not running (no control socket)")]
    try:
        control.call(config.control_path, "ping", {}, timeout_s=NETWORK_TIMEOUT_S)
    except StreamerError as error:
        return [warn("daemon", str(error), "see `systemctl status streamer` or the daemon's log")]
    return [ok("daemon", f"answers on {config.control_path}")]


SITE_CHECKS: tuple[Callable[[ConfigStore, Config], list[Check]], ...] = (
    check_secret_files,
    check_state_folder,
    check_ledger,
    check_runtime_folder,
    check_models,
    check_sinks,
    check_redis,
    check_camera_hosts,
    check_page,
    check_daemon,
)
