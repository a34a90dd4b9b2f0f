"""A site of real boxes on one machine: each a daemon, an agent and its Ray, with its own folders and address.

The addresses are loopback's (127.x.y.z): each box's certificate is for its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from click.testing import CliRunner

from streamer.cli.main import cli
from streamer.site.cluster_processes import MARK, RAYLET
from tests.conftest import missing_part
from tests.daemon import Daemon
from tests.patience import patient
from tests.redis_servers import free_port

STREET = "synthetic:street?width=320&height=180&fps=5"
UNOWNED_AFTER_S = 3.0


def address(number: int) -> str:
    """Of loopback, another for each process that tests."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 8) % 64}.{pid % 256}.{number}"


class OwnRedis:
    """The site's Redis, which can be stopped and go on with what it had."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            missing_part("redis-server (apt install redis-server)")
        self.port = free_port()
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self.process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class SiteBox:
    """`folder` has the daemon's folders; the box is `b1`, `b2`, …"""

    def __init__(self, folder: Path, number: int) -> None:
        self.name, self.address = f"b{number}", address(number)
        self.daemon = Daemon(folder / self.name, inference={"engine": "motion"})
        self.agent: subprocess.Popen[bytes] | None = None

    def start_agent(self) -> None:
        with (self.daemon.base / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(self.daemon.command("site", "agent"), stdout=log, stderr=log)

    def log(self) -> str:
        return (self.daemon.base / "agent.log").read_text()[-3000:]

    def site(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.daemon.cli("site", *arguments, check=check)

    def ray(self, name: str = "") -> list[psutil.Process]:
        """Its processes of Ray, or those of this name."""
        mark, found = str(self.daemon.state_dir / "ray"), []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == mark and name in ("", process.name()):
                    found.append(process)
        return found

    def signal_all(self, signum: signal.Signals) -> None:
        """To its agent and its Ray, which is as if its network were cut; the daemon goes on."""
        assert self.agent is not None
        self.agent.send_signal(signum)
        for process in self.ray():
            with suppress(psutil.Error):
                process.send_signal(signum)

    def kill_node(self) -> None:
        for process in self.ray(RAYLET):
            process.kill()

    def cameras(self) -> dict[str, tuple[int, bool]]:
        """Of its daemon: in which term it runs each, and whether as its owner."""
        rows = self.daemon.status()["cameras"]
        return {row["name"]: (row["term"], row["owned"]) for row in rows}

    def end(self) -> None:
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()
        for process in self.ray():
            with suppress(psutil.Error):
                process.kill()
        self.daemon.kill()


class Site:
    """b1 is the head. `redis` is the site's."""

    def __init__(self, folder: Path, redis_url: str, redis_place: str) -> None:
        self.boxes = [SiteBox(folder, number) for number in (1, 2, 3)]
        self.head, self._folder = self.boxes[0], folder
        made = ("shop", "--address", self.head.address, "--port", str(free_port()), "--redis", redis_url)
        self.head.site("init", *made, "--node", "b1", "--capacity", "1", "--store", redis_place)

    def start(self) -> Site:
        for box in self.boxes:
            box.daemon.start(wait=False)
        self._set(self.head)
        self.head.start_agent()
        self.until(lambda: self.status()["boxes"], "the head", 60)
        for box in self.boxes[1:]:
            file = self._folder / f"{box.name}.invitation"
            self.head.site("invite", box.name, box.address, "--out", str(file))
            box.site("join", str(file), "--capacity", "1", "--label", f"side={box.name}")
            self._set(box)
            box.start_agent()
        self.until(self.is_whole, "three boxes", 90)
        return self

    @staticmethod
    def _set(box: SiteBox) -> None:
        path = box.daemon.config_dir / "site.yaml"
        path.write_text(
            yaml.safe_dump({**yaml.safe_load(path.read_text()), "unowned_after_s": UNOWNED_AFTER_S})
        )

    def is_whole(self) -> bool:
        boxes = self.status()["boxes"]
        return len(boxes) == 3 and all(b["state"] == "alive" and b["capacity"] for b in boxes)

    def status(self) -> dict[str, Any]:
        """As `streamer site status --json` prints it; {} of boxes and cameras while there is no answer."""
        arguments = ["--config", str(self.head.daemon.config_dir), "site", "status", "--json"]
        done = CliRunner().invoke(cli, arguments)  # in this process, which is quick
        return json.loads(done.stdout) if done.exit_code == 0 else {"boxes": [], "cameras": []}

    def add(self, name: str, cost: float = 0.4, *on: str) -> None:
        labels = [word for each in on for word in ("--on", each)]
        self.head.site("add", name, STREET, "--cost", str(cost), *labels)

    def owner(self, camera: str, but: SiteBox | None = None) -> SiteBox | None:
        """The only box whose daemon has the camera; None while it is none or several, or `but`."""
        having = [box for box in self.boxes if camera in box.cameras()]
        return having[0] if len(having) == 1 and having[0] is not but else None

    def until(self, true: Callable[[], Any], what: str, limit_s: float = 30.0) -> Any:
        end_s = time.monotonic() + patient(limit_s)
        while time.monotonic() < end_s:
            if found := true():
                return found
            time.sleep(0.1)
        logs = "\n".join(f"--- {box.name}\n{box.log()}" for box in self.boxes if box.agent is not None)
        raise AssertionError(f"{what} did not happen in {patient(limit_s):g} s\n{self.status()}\n{logs}")

    def end(self) -> None:
        for box in self.boxes:
            box.end()


def started(folder: Path, redis_port: int) -> Iterator[Site]:
    place = f"127.0.0.1:{redis_port}"
    site = Site(folder, f"redis://{place}/0", place)
    try:
        yield site.start()
    finally:
        site.end()
