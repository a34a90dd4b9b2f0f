"""By default no picture outlives the memory in which it is looked at: not on disk, in Redis or in a log.

What a daemon leaves is searched for pictures, coded as such, as text, and as the bytes of raw pixels, which
are known from its own shared memory. That the search finds one is shown with a
snapshot that a person asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from pipelines.values import Image
from streamer.daemon.redis_server import subscriber_url
from tests import moving
from tests.clips import make_clip
from tests.daemon import Daemon

pytestmark = pytest.mark.integration

JFIF, DQT = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", b"\xff\xd8\xff\xdb\x00\x43\x00"
CODED = {
    "JPEG": JFIF,
    "JPEG without a header": DQT,
    "JPEG of a camera": b"\xff\xd8\xff\xe1",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WebP": b"WEBPVP8",
    "JPEG as base64": base64.b64encode(JFIF)[:12],
    "PNG as base64": base64.b64encode(b"\x89PNG\r\n\x1a\n\x00")[:10],
}
RUN = 192  # bytes in a row of pixels that nothing else has
SECONDS = 8.0


def textured(number: int, width: int, height: int) -> Image:
    """The moving squares before a wall whose pixels differ everywhere and never change."""
    picture = moving.draw(number, width, height)
    coarse = np.random.default_rng(7).integers(0, 100, (height // 10, width // 10, 3))
    wall = coarse.repeat(10, axis=0).repeat(10, axis=1).astype(np.uint8)
    still = moving.draw(0, width, height) == picture
    return np.asarray(np.where(still.all(axis=2, keepdims=True), wall, picture), np.uint8)


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001
    for folder in ("tmp", "clip"):
        (short_dir / folder).mkdir()
    size = {"width": moving.WIDTH, "height": moving.HEIGHT, "fps": moving.FPS}
    frames = int(SECONDS * moving.FPS)
    clip = make_clip(short_dir / "clip" / "people.mp4", frames=frames, draw=textured, **size)
    entry = moving.camera("door", clip, realtime=True)
    entry["source"] = {**dict(entry.get("source") or {}), "loop": True}
    daemon = Daemon(short_dir, [entry], inference={"engine": "motion"}, counts={"bucket_s": 2})
    daemon.start(env={"TMPDIR": str(short_dir / "tmp")})
    yield daemon
    daemon.kill()


def rings(daemon: Daemon) -> list[Path]:
    return [path for path in daemon.segments_dir.glob("door.*") if path.suffix[1:].isdigit()]


def raw_runs(daemon: Daemon) -> list[bytes]:
    """Rows of pixels as they lie in the shared memory, in both orders of the colours."""
    picture = np.frombuffer(rings(daemon)[0].read_bytes(), np.uint8)
    row = moving.WIDTH * 3
    runs: list[bytes] = []
    for y in range(5, len(picture) // row, 9):  # of every slot: not all are in use
        run = picture[y * row : y * row + RUN]
        if len(np.unique(run)) > 8:  # not one colour, which may lie anywhere
            runs += [run.tobytes(), run.reshape(-1, 3)[:, ::-1].tobytes()]
    assert runs, "the shared memory holds no picture"
    return runs


def kept(daemon: Daemon) -> dict[str, bytes]:
    """All that the daemon has on disk and in Redis, and of its shared memory what is no ring."""
    folders = (daemon.state_dir, daemon.runtime_dir, daemon.config_dir, daemon.base / "tmp")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    if daemon.segments_dir.exists():
        ring_names = set(rings(daemon))
        files += [p for p in daemon.segments_dir.iterdir() if p.is_file() and p not in ring_names]
    return {str(path): path.read_bytes() for path in [*files, daemon.log_path]}


def in_redis(daemon: Daemon) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with redis.Redis.from_url(subscriber_url(daemon.runtime_dir)) as client:
        for key in client.scan_iter("*"):
            is_stream = client.type(key) == b"stream"
            hashes = [fields for _, fields in client.xrange(key)] if is_stream else [client.hgetall(key)]
            found[f"redis {key.decode()}"] = b"\n".join(part for each in hashes for part in each.values())
    return found


def pictures(places: dict[str, bytes], raw: list[bytes]) -> list[str]:
    marks = [*CODED.items(), *(("raw pixels", run) for run in raw)]
    return [f"{place}: {what}" for place, held in places.items() for what, mark in marks if mark in held]


def test_no_picture_is_kept_of_people_who_were_seen_and_one_that_was_asked_for_would_be_found(
    daemon: Daemon,
) -> None:
    daemon.wait_for_events("door", lambda e: e["type"] == "streamer.line.crossed.v1", 40)
    daemon.wait_for_events("door", lambda e: e["type"] == "streamer.track.ended.v1", 40)
    raw = raw_runs(daemon)
    told = in_redis(daemon)
    assert any("events" in key for key in told)
    assert pictures({**kept(daemon), **told}, raw) == []
    daemon.cli("camera", "snapshot", "door", "-o", str(daemon.base / "tmp" / "asked.jpg"))
    assert [place for place in pictures(kept(daemon), raw) if "asked.jpg" in place]
    (daemon.base / "tmp" / "asked.jpg").unlink()
    (daemon.state_dir / "dump").write_bytes(b"x" * 100 + raw[0])
    assert [place for place in pictures(kept(daemon), raw) if "raw pixels" in place]
    (daemon.state_dir / "dump").unlink()
    assert daemon.stop() == 0
    assert pictures(kept(daemon), raw) == []
    assert not daemon.segments_dir.exists() or rings(daemon) == []
