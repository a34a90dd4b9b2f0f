"""A real MQTT broker for tests, on a port of its own, and a client that collects what is said there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.patience import patient


def mosquitto_path() -> str:
    """Of the program, "" where there is none: Debian keeps it where users do not look."""
    return shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """mosquitto with a folder of its own. `lines` are of its configuration."""

    def __init__(self, binary: str, folder: Path, port: int, *lines: str) -> None:
        folder.mkdir(exist_ok=True)
        self.port = port
        self.log_path = folder / "log"
        self._config = folder / "mosquitto.conf"
        keeping = ("persistence true", f"persistence_location {folder}/", "autosave_interval 1")
        own = ("user root", "max_queued_messages 100000", "autosave_on_changes true", *keeping)
        allowed = (
            () if any(line.startswith("allow_anonymous") for line in lines) else ("allow_anonymous true",)
        )
        listener = f"listener {port} 127.0.0.1"
        self._config.write_text("\n".join((*own, listener, *allowed, *lines)) + "\n")
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Broker:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "-c", str(self._config), "-v"], stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """SIGTERM: it saves what it holds."""
        self._end(lambda process: process.terminate())

    def _end(self, end: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            end(self._process)
            self._process.wait(patient(10))
            self._process = None


class Listener:
    """Subscribed to everything, in a session of its own that the broker keeps."""

    def __init__(self, port: int, **login: str) -> None:
        from paho.mqtt import client as paho

        self._changed = threading.Condition()
        self.messages: list[Any] = []
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="listener", protocol=paho.MQTTProtocolVersion.MQTTv5
        )
        if login:
            self._client.username_pw_set(login["username"], login["password"])
        self._client.reconnect_delay_set(1, 1)
        self._subscribed = False
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = self._note_subscribed
        self._client.on_message = self._note
        end_s = time.monotonic() + patient(10)
        while True:
            try:
                self._client.connect("127.0.0.1", port, clean_start=False, properties=_lasting())
                break
            except OSError:
                assert time.monotonic() < end_s, "the broker does not listen"
                time.sleep(0.05)
        self._client.loop_start()
        self.until(lambda: self._subscribed)

    def say(self, topic: str, payload: str, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(patient(5))

    def of(self, topic: str) -> list[str]:
        """The payloads of `topic`, in order."""
        with self._changed:
            return [m.payload.decode() for m in self.messages if m.topic == topic]

    def last(self, topic: str) -> str | None:
        return (self.of(topic) or [None])[-1]

    def until(self, true: Callable[[], bool], timeout_s: float = 20.0) -> None:
        with self._changed:
            done = self._changed.wait_for(true, patient(timeout_s))
            topics = sorted({f"{m.topic}={m.payload[:40]!r}" for m in self.messages[-30:]})
        assert done, f"did not happen in {timeout_s} s; heard last: {topics}"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _note(self, _client: Any, _data: Any, message: Any) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def _note_subscribed(self, *_: Any) -> None:
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()


def _lasting() -> Any:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    return properties
