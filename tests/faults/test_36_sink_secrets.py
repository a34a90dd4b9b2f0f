"""Fault 36, of sinks: a canary in each of their secrets; no command, log, status or other file shows it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.mosquitto import free_port
from tests.webhook_server import always, webhook

pytestmark = [pytest.mark.integration, pytest.mark.slow]
STREET = "synthetic:street?width=320&height=180&fps=5"  # small and slow, since it is drawn

CANARY = "c@nary/42"
SIGNING = "whsec_" + base64.b64encode(b"canary-canary-canary-canary").decode()
FORMS = ("c@nary", "c%40nary", "nary/42", "nary%2F42", SIGNING[6:], "canary-canary")


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    port = free_port()
    sinks = [
        {"kind": "mqtt", "url": f"mqtt://127.0.0.1:{port}"},
        {"kind": "webhook", "url": "http://127.0.0.1:9"},
    ]
    found = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 1}, sinks=sinks)
    yield found
    found.kill()


def test_no_secret_of_a_sink_shows_anywhere(daemon: Daemon) -> None:
    with webhook() as hook:
        hook.reply = always(401)
        pair = {"username": CANARY, "password": CANARY}
        secrets = {"mqtt": pair, "webhook": {**pair, "url": hook.url, "signing_secret": SIGNING}}
        path = daemon.config_dir / "secrets.yaml"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"sinks": secrets}))
        daemon.write_camera({"name": "gate", "url": STREET, "source": {"fps": 2}})
        daemon.start()
        daemon.wait_for(lambda s: s["sinks"]["webhook"]["state"] == "auth", 30, "the webhook to refuse")
        daemon.wait_for(lambda s: s["sinks"]["mqtt"]["state"] == "down", 30, "the broker to be away")
        commands = ("status",), ("status", "--json"), ("run", "--check"), ("doctor",), ("ledger", "status")
        answers = daemon.commands(*commands)
        shown = {" ".join(c): done.stdout + done.stderr for c, done in zip(commands, answers, strict=True)}
        assert daemon.stop() == 0
    assert hook.requests[0].headers["authorization"].startswith("Basic ")
    shown["log"] = daemon.log_path.read_text(errors="replace")
    for file in daemon.base.rglob("*"):
        if file.is_file() and file.name != "secrets.yaml":
            shown[str(file)] = file.read_bytes().decode("latin-1")
    assert [f"{where}: {form}" for where, text in shown.items() for form in FORMS if form in text] == []


def test_a_secret_that_signs_nothing_is_named_by_its_sink(daemon: Daemon) -> None:
    path = daemon.config_dir / "secrets.yaml"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"sinks": {"webhook": {"signing_secret": "c@nary"}}}))
    done = daemon.cli("run", "--check", check=False)
    assert done.returncode == 3
    assert "sink webhook: signing_secret: is no whsec_" in done.stderr
    assert "c@nary" not in done.stderr
