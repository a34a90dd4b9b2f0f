"""Case 10: the stream is trimmed past a slow consumer. It sees how many events it will never get."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.daemon import redis_server
from streamer.ipc.messages import SinkAssignment
from streamer.sinks.redis import RedisSettings
from tests.faults.delivery_rig import Rig

pytestmark = pytest.mark.integration
KEPT = 1000  # the least that a stream may be set to hold
READ, SENT = 20, 1500


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    rig = Rig(short_dir, cameras=("gate",))
    settings = RedisSettings(kind="redis", name="redis", stream_max_len=KEPT)
    rig.sinks = (SinkAssignment("redis", "redis", settings.model_dump_json(), rig.redis_url),)
    rig.start_redis()
    rig.start_delivery()
    rig.resume()
    yield rig
    rig.close()


def consume(program: Path, rig: Rig, until: str) -> tuple[str, str]:
    """Run the consumer until it has saved a cursor that ends in `until`, then kill it: (output, errors)."""
    cursor = program.with_name("cursors.json")
    socket = rig.runtime_dir / redis_server.SOCKET_NAME
    out, err = program.with_name("out"), program.with_name("err")
    with out.open("w") as o, err.open("w") as e:
        process = subprocess.Popen(
            [sys.executable, str(program), str(socket), str(cursor)], stdout=o, stderr=e
        )
    try:
        rig.until(lambda: cursor.exists() and f'-{until}"' in cursor.read_text())
    finally:
        process.kill()
        process.wait()
    return out.read_text(), err.read_text()


def test_the_consumer_of_the_manual_is_told_how_many_were_trimmed(
    rig: Rig, repo: Path, short_dir: Path
) -> None:
    program = short_dir / "consumer.py"
    found = re.search(r"```python\n(.*?)```", (repo / "docs/consumers.md").read_text(), re.S)
    assert found
    program.write_text(found[1])
    rig.count("gate", READ)
    rig.publish_state("gate")
    rig.settle()
    seen, complained = consume(program, rig, str(READ))
    assert (seen.count("\n"), complained) == (READ, "")
    while rig.sent["gate"] < SENT:  # while it sleeps
        rig.count("gate", 20)
        rig.pump()
    rig.settle()
    first_kept = rig.in_redis("gate")[0]
    assert KEPT <= SENT - first_kept + 1 < KEPT + 200
    assert first_kept > READ + 1
    seen, complained = consume(program, rig, str(SENT))
    assert f"{first_kept - READ - 1} events were trimmed" in complained
    assert seen.count("\n") == SENT - first_kept + 1
    assert rig.totals("gate")["line/door/in/1/person"] == SENT  # of the totals nothing was trimmed
    assert json.loads(rig.entries("gate")[0][1])["id"].endswith(f"/{first_kept}")
