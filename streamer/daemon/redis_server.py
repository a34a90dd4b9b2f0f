"""The private redis-server: its binary, its folder, its users, and the command that runs it.

For a sink of kind redis without a URL the supervisor runs one as a child. It listens on a UNIX socket alone
(RUNTIME/redis.sock, 0660), keeps an append-only file synced every second (what that may lose the ledger
sends again), and refuses writes rather than evict. Users: `streamer` writes `streamer:*`, with a password
made once; `subscriber` reads `streamer:*`, without one, for whoever may open the socket; the default user
is off. STATE/redis (0700) holds the data, the password and the user file.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
from pathlib import Path
from urllib.parse import quote

from streamer import logs
from streamer.errors import RedisError, StorageError
from streamer.sinks.redis import READER_COMMANDS, WRITER_COMMANDS

SOCKET_NAME = "redis.sock"
MAX_SOCKET_PATH = 107  # bytes that the kernel takes
WRITER, SUBSCRIBER = "streamer", "subscriber"
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
_PING_TIMEOUT_S = 1.0

_WRITER_MAY = "+ping +hello +auth +select +reset +quit +client|setname" + "".join(
    f" +{command}" for command in WRITER_COMMANDS
)
_SUBSCRIBER_MAY = (
    "+ping +hello +auth +select +reset +quit +client|setname +client|id"
    " +xrange +xlen +xinfo +hget +hmget +hlen +hkeys +hvals +hexists +hscan"
    " +type +exists +scan +info +command" + "".join(f" +{command}" for command in READER_COMMANDS)
)

_CONFIG = """\
# Written anew at each start of the daemon.
port 0
unixsocket {socket}
unixsocketperm 660
dir {folder}
aclfile {acl}
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory {max_memory_mb}mb
maxmemory-policy noeviction
daemonize no
supervised no
pidfile ""
logfile ""
loglevel warning
databases 1
always-show-logo no
set-proc-title no
"""


LOG_NAME = "redis.log"  # in its folder


def binary() -> str:
    """Where redis-server is; Debian puts it on root's path alone. Raise RedisError if it is nowhere."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    program = shutil.which("redis-server", path=path) or shutil.which("valkey-server", path=path)
    if program is None:
        raise RedisError(
            "no redis-server on this machine: install it (apt-get install redis-server), give the sink the "
            "url of one that runs, or set sinks: [] to keep the ledger alone"
        )
    return program


def command(runtime_dir: Path, state_dir: Path, max_memory_mb: int) -> list[str]:
    """Prepare the files and return the command line to run, which holds no secret.

    Raise RedisError if there is no redis-server, one runs here already, or the path is too long for a
    socket; StorageError if the files cannot be written.
    """
    program = binary()
    socket_path = runtime_dir / SOCKET_NAME
    if len(os.fsencode(socket_path)) > MAX_SOCKET_PATH:
        raise RedisError(f"{socket_path} is too long for a socket: set runtime_dir to a shorter one")
    if ping(runtime_dir):
        raise RedisError(f"a Redis answers on {socket_path} already: stop it (is another daemon running?)")
    folder = _folder(state_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket_path.unlink(missing_ok=True)  # left by one that was killed
        acl, settings = folder / "users.acl", folder / "redis.conf"
        _write_private(acl, _users(_password(state_dir)))
        text = _CONFIG.format(
            socket=_quoted(socket_path),
            folder=_quoted(folder),
            acl=_quoted(acl),
            max_memory_mb=max_memory_mb,
        )
        if logs.format_in_use() == "json":  # it knows no JSON: what it says goes into a file of its own
            text += f"logfile {_quoted(folder / LOG_NAME)}\nloglevel warning\n"
        _write_private(settings, text)
    except OSError as error:
        raise StorageError(f"cannot prepare {folder}: {error.strerror}; check its owner and space") from error
    return [program, str(settings)]


def writer_url(runtime_dir: Path, state_dir: Path) -> str:
    """For the delivery worker alone: it holds the password."""
    password = quote(_password(state_dir), safe="")
    return f"unix://{WRITER}:{password}@{quote(str(runtime_dir / SOCKET_NAME))}"


def subscriber_url(runtime_dir: Path) -> str:
    """For everyone who may open the socket: reads, and has no password."""
    return f"unix://{SUBSCRIBER}:@{quote(str(runtime_dir / SOCKET_NAME))}"


def ping(runtime_dir: Path) -> bool:
    """Whether a Redis that has loaded its data answers on the socket. Waits at most a second."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_PING_TIMEOUT_S)
            client.connect(str(runtime_dir / SOCKET_NAME))
            client.sendall(f"AUTH {SUBSCRIBER} any\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2 and (part := client.recv(256)):
                reply += part
    except OSError:
        return False
    return b"PONG" in reply


def _folder(state_dir: Path) -> Path:
    return state_dir / "redis"


def _password(state_dir: Path) -> str:
    """The writer's password, made at the first call. Raise StorageError."""
    path = _folder(state_dir) / "password"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and (password := path.read_text().strip()):
            return password
        password = secrets.token_urlsafe(32)
        _write_private(path, password + "\n")
    except OSError as error:
        raise StorageError(f"cannot use {path}: {error.strerror}; check its owner and space") from error
    return password


def _users(password: str) -> str:
    digest = hashlib.sha256(password.encode()).hexdigest()
    return (
        "user default off ~* &* +@all\n"  # nobody logs in as it; Redis itself does, to load its file
        f"user {WRITER} on #{digest} resetchannels ~streamer:* -@all {_WRITER_MAY}\n"
        f"user {SUBSCRIBER} on nopass resetchannels %R~streamer:* -@all {_SUBSCRIBER_MAY}\n"
    )


def _write_private(path: Path, text: str) -> None:
    """Put a 0600 file in place at once: a reader sees the old one or the new one."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
