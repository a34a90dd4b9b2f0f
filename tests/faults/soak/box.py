"""What a soak strikes: a daemon with four cameras and two Redis servers, on disks of a few megabytes.

The private Redis is the daemon's own; the other, `office`, is the soak's, so that it can be wiped, turned
into a replica or starved. Where root may mount, /dev/shm and the state folder are small ones of the box in a
mount namespace that nobody else sees; elsewhere the faults that fill them are left out, as the report says.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from streamer.sinks.redis import connect
from tests.clips import make_clip
from tests.daemon import Daemon
from tests.moving import FPS, camera, draw, write_moving_clip
from tests.patience import patient

SHM_MB, STATE_MB = 24, 96  # of the box's own disks,
STATE_MB_AN_HOUR = 160  # and what the ledger and the private Redis take of it
OFFICE = "office"
STRUCK = "door"  # the camera that freezes, goes and changes its size
LANE = "synthetic:street?seed=3&width=320&height=180&fps=10"
STREAM_MAX_LEN = 10_000_000  # else nothing is trimmed: every event is looked for at the end
BUCKET_S = 10
NOT_SEEN_HERE = ["covered", "defocused", "moved"]  # in squares on a bare wall, of which that cannot be told
Status = dict[str, Any]


class Box:
    """Folders below `base`; start() brings all up, close() ends every process that was started here.

    `seconds` is how long its clips are, `hours` how long it is to run; `settings` are further ones of
    streamer.yaml.
    """

    def __init__(
        self,
        base: Path,
        redis_binary: str,
        *,
        seconds: float = 20.0,
        hours: float = 0.0,
        stream_max_len: int = STREAM_MAX_LEN,
        **settings: Any,
    ) -> None:
        self.base, self._redis_binary = base, redis_binary
        self.stream_max_len = stream_max_len
        self.clips = _clips(base, seconds)
        self.live_clip = base / "door.mp4"
        self.show("moving")
        self.office_socket = base / "office.sock"
        self._office: subprocess.Popen[bytes] | None = None
        self.daemon = Daemon(
            base / "d",
            inference={"engine": "motion"},
            counts={"bucket_s": BUCKET_S},
            capture={"cameras_per_worker": 2},
            sinks=[
                {"kind": "redis", "name": "redis", "stream_max_len": stream_max_len},
                {"kind": "redis", "name": OFFICE, "url": f"unix://{self.office_socket}",
                 "stream_max_len": stream_max_len},
            ],
            **settings,
        )  # fmt: skip
        self._disks = _own_disks(self.daemon, STATE_MB + math.ceil(STATE_MB_AN_HOUR * hours))
        for name, clip in (
            ("gate", self.clips["moving"]),
            ("yard", self.clips["moving"]),
            (STRUCK, self.live_clip),
        ):
            self.daemon.write_camera({**camera(name, clip, loop=True), "health": {"ignore": NOT_SEEN_HERE}})
        self.daemon.write_camera({"name": "lane", "url": LANE})
        self.settings = self.daemon.config_dir / "streamer.yaml"

    # ---- its processes

    def start(self) -> None:
        self.start_office()
        self.daemon.start()

    def start_office(self) -> None:
        words = ["--port", "0", "--unixsocket", str(self.office_socket), "--dir", str(self.base)]
        keep = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._office = subprocess.Popen(
            [self._redis_binary, *words, *keep], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end_s = time.monotonic() + patient(10)
        while not self._office_answers():
            assert time.monotonic() < end_s, "the office's Redis does not start"
            time.sleep(0.02)

    def _office_answers(self) -> bool:
        try:
            with connect(f"unix://{self.office_socket}") as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @property
    def office_pid(self) -> int:
        assert self._office is not None
        return self._office.pid

    def kill_office(self) -> None:
        if self._office is not None:
            self._office.kill()
            self._office.wait()
            self._office = None

    def office(self) -> Any:
        """A client who may do everything."""
        return connect(f"unix://{self.office_socket}")

    def close(self) -> None:
        self.daemon.kill()
        self.kill_office()
        if self._disks is not None:
            self._disks.kill()
            self._disks.communicate()  # which closes its pipes

    # ---- its disks and its camera

    @property
    def trims(self) -> bool:
        """Whether a Redis keeps so little that its memory stands still."""
        return self.stream_max_len < STREAM_MAX_LEN

    @property
    def has_own_disks(self) -> bool:
        return self._disks is not None

    def inside(self, path: Path) -> Path:
        """`path` as the daemon sees it, on its own disks."""
        return path if self._disks is None else Path(f"/proc/{self._disks.pid}/root{path}")

    def copy_ledger(self) -> Path:
        """While nothing is written: SQLite follows links, so that it cannot be read where `inside` has it."""
        for part in self.inside(self.daemon.state_dir).glob("ledger.sqlite*"):
            if not part.name.endswith("-shm"):
                shutil.copy(part, self.base)
        return self.base / "ledger.sqlite"

    def fill(self, folder: Path) -> Path:
        """Take all that is left on the disk of `folder`; returns the file that took it."""
        assert self.has_own_disks, "never on a disk that others use"
        filler = self.inside(folder) / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return filler

    def show(self, scene: str) -> None:
        """What the struck camera sends from its next turn on; "" for nothing at all."""
        if not scene:
            self.live_clip.unlink(missing_ok=True)
            return
        fresh = self.base / "fresh.mp4"
        shutil.copy(self.clips[scene], fresh)
        fresh.replace(self.live_clip)

    def reload(self) -> None:
        assert self.daemon.process is not None
        os.kill(self.daemon.process.pid, signal.SIGHUP)


def in_a_box(make: Callable[[Path, str], Box], judge: Callable[[Box], list[str]]) -> int:
    """An exit code: `judge` runs the box and prints, and returns what is broken; then the log stays."""
    binary = shutil.which("redis-server")
    if binary is None:
        print("there is no redis-server: deploy/setup.sh installs it", file=sys.stderr)
        return 2
    base = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    box = make(base, binary)
    try:
        faults = judge(box)
    finally:
        box.close()
    if faults:
        print(f"the log is {box.daemon.log_path}", file=sys.stderr)
    else:
        shutil.rmtree(base, ignore_errors=True)
    return 1 if faults else 0


def _clips(base: Path, seconds: float) -> dict[str, Path]:
    """The struck camera's turns are short, since it takes a change at the next."""
    frames = int(3.0 * FPS)
    return {
        "moving": write_moving_clip(base / "moving.mp4", seconds),
        "frozen": make_clip(base / "frozen.mp4", frames=frames, draw=lambda _, w, h: draw(FPS, w, h)),
        "larger": make_clip(base / "larger.mp4", frames=frames, width=480, height=270, draw=draw),
    }


def _own_disks(daemon: Daemon, state_mb: int) -> subprocess.Popen[bytes] | None:
    """A process that holds a mount namespace for `daemon`, which is started in it; None where none may be."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("nsenter")):
        return None
    daemon.state_dir.mkdir(mode=0o700)
    script = (
        f"mount -t tmpfs -o size={SHM_MB}m tmpfs /dev/shm && "
        f"mount -t tmpfs -o size={state_mb}m,mode=0700 tmpfs {daemon.state_dir} && echo ready && exec cat"
    )
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    if holder.stdout.readline() != b"ready\n":
        holder.wait()
        return None
    plain = daemon.command
    daemon.command = lambda *args: ["nsenter", "-t", str(holder.pid), "-m", *plain(*args)]  # type: ignore[method-assign]
    return holder
