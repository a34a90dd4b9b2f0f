"""Fault 26, at a start: secrets that cannot be used cost those whom they may be for, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamer.errors import Exit
from tests.daemon import Daemon
from tests.rtsp_fake import FakeCamera
from tests.webhook_server import webhook

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]
STREET = {"name": "street", "url": "synthetic:street?width=320&height=180&fps=5"}


def states(status: dict[str, Any]) -> dict[str, str]:
    return {camera["name"]: camera["state"] for camera in status["cameras"]}


def test_nothing_is_sent_without_its_secrets_and_all_else_runs_until_they_are_mended(short_dir: Path) -> None:
    with webhook() as hook, FakeCamera(asks=['Digest realm="x", nonce="n"']) as fake:
        sinks = [{"kind": "redis"}, {"kind": "webhook", "url": hook.url}]
        gate = {"name": "gate", "url": fake.url()}
        daemon = Daemon(
            short_dir, [STREET, gate], inference={"engine": "motion"}, counts={"bucket_s": 1}, sinks=sinks
        )
        secrets = daemon.config_dir / "secrets.yaml"
        secrets.touch(mode=0o600)
        secrets.write_text("sinks:\n  webhook: {password: canary\ncameras: {}\n")
        try:
            checked = daemon.cli("run", "--check", check=False)
            assert checked.returncode == Exit.CONFIG
            assert "sink webhook: nothing is sent without its secrets" in checked.stderr
            daemon.start()
            status = daemon.wait_for(
                lambda s: (
                    s["sinks"]["redis"].get("written")
                    and s["sinks"]["webhook"]["state"] == "refused"
                    and states(s) == {"street": "live", "gate": "misconfigured"}
                ),
                40,
                "what needs no secret to run, and all else to be refused",
            )
            row = next(camera for camera in status["cameras"] if camera["name"] == "gate")
            for told in (row["detail"], status["sinks"]["webhook"]["last_error"], *status["warnings"]):
                assert "secrets.yaml:" in told
                assert "canary" not in told
            doctor = daemon.cli("doctor", check=False).stdout
            assert "whose secrets may be there" in " ".join(doctor.split())
            assert (hook.requests, fake.requests) == ([], [])
            secrets.write_text("sinks:\n  webhook: {password: canary}\ncameras: {}\n")
            daemon.wait_for(lambda s: s["sinks"]["webhook"].get("written"), 30, "the mended sink")
            assert hook.requests[0].headers["authorization"].startswith("Basic ")
            status = daemon.wait_for(
                lambda s: states(s)["gate"] == "auth_failed", 30, "the camera to be asked"
            )
            assert status["warnings"] == []
            assert daemon.stop() == 0
        finally:
            daemon.kill()
