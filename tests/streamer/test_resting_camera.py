"""A camera that rests in front of an empty place, with real processes: who comes is counted, and the books
say what it has let go.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.values import Image
from streamer.api.tokens import TokenStore
from tests.clips import make_clip
from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import FPS, HEIGHT, LINE, SIDE, WIDTH
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]

COMINGS_S = (9.0, 18.0, 27.0, 36.0)
PASSES_S = 1.6
SECONDS = 44
TILES = np.random.default_rng(1).integers(60, 140, (HEIGHT // 12, WIDTH // 16, 3)).astype(float)
BACKDROP = TILES.repeat(12, axis=0).repeat(16, axis=1)


def draw(number: int, width: int, height: int) -> Image:
    """A bright square passes, now and then; the picture has a sensor's noise."""
    picture = BACKDROP + np.random.default_rng(number).normal(0, 3, (height, width, 1))
    for at_s in COMINGS_S:
        share = (number / FPS - at_s) / PASSES_S
        if 0 <= share < 1:
            x = round(share * (width + SIDE)) - SIDE
            picture[70 : 70 + SIDE, max(0, x) : max(0, x + SIDE)] = (40, 220, 80 + 20 * at_s % 100)
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    settings = {"counts": {"bucket_s": 5}, "api": {"listen": "127.0.0.1:0"}}
    daemon = Daemon(short_dir, inference={"engine": "motion"}, **settings)
    yield daemon
    daemon.kill()


def test_who_comes_while_it_rests_is_counted_and_the_rest_is_in_the_books(
    daemon: Daemon, tmp_path: Path
) -> None:
    clip = make_clip(
        tmp_path / "empty.mp4", frames=SECONDS * FPS, width=WIDTH, height=HEIGHT, fps=FPS, draw=draw
    )
    source = {"gate": "auto"}
    daemon.write_camera({"name": "hall", "url": str(clip), "source": source, "rules": {"lines": [LINE]}})
    daemon.start()
    levels = set()

    def ended(status: dict) -> bool:
        (camera,) = status["cameras"]
        levels.add(camera["level"])
        assert unaccounted(camera["frames"]) == 0
        return camera["state"] == "ended" and camera["frames"]["in_flight"] == 0

    status = daemon.wait_for(ended, SECONDS + 60, "the clip's end")
    daemon.wait_for_events("hall", lambda e: e["data"].get("state") == "ended", 20)
    events = daemon.settled_events("hall")
    crossed = [e for e in events if e["type"] == "streamer.line.crossed.v1"]
    assert len(crossed) == len(COMINGS_S)
    frames = status["cameras"][0]["frames"]
    assert frames["decoded"] == SECONDS * FPS
    assert frames["gated"] > 0.25 * SECONDS * FPS  # of a busy box, which hears late that nothing is followed
    assert {"full", "pictures"} <= levels
    coverage = [e["data"]["coverage"] for e in events if e["type"] == "streamer.counts.v1"]
    assert sum(of["gated_s"] for of in coverage) > 0.7 * frames["gated"] / FPS
    begun = coverage[1:]  # the first has the time before the daemon began
    assert sum(of["unknown_s"] + of["dropped_s"] for of in begun) < 0.1 * SECONDS
    samples = metrics(daemon)
    assert samples["streamer_frames_total", ("outcome", "gated")] == frames["gated"]
    assert samples["streamer_coverage_seconds_total", ("kind", "gated")] > 0.5 * frames["gated"] / FPS


def metrics(daemon: Daemon) -> dict[tuple[str, tuple[str, str]], float]:
    """By name and each of the labels."""
    secret = TokenStore(daemon.state_dir).add("reader", "viewer")
    address = daemon.worker("api")["status"]["address"]
    headers = {"Authorization": f"Bearer {secret}"}
    text = httpx.get(f"http://{address}/metrics", headers=headers, timeout=patient(10), trust_env=False).text
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, label): s.value for s in samples for label in s.labels.items()}
