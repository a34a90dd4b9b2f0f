"""What a resting camera's reader gives to inference of the key frames that it decodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pipelines.values import Image
from streamer.sources.base import Decoded, Rested
from streamer.workers.capture.gated_reader import GatedReader


class Picture(Decoded):
    """A grey one."""

    def write_bgr(self, out: Image) -> None:
        out[:] = 90


def key_frame(at_s: int) -> Rested:
    ns = at_s * 1_000_000_000
    times = {"media_ns": ns, "captured_ns": ns, "received_mono_ns": ns}
    return Rested(5000, ns, ns, let_go=25, picture=Picture(160, 90, clock_source="arrival", **times))


@dataclass
class Resting:
    """A source that rests, and a gate that offers the key frames of `offered` seconds."""

    offered: set[int]
    level: str = "packets"
    at_s: int = 0
    glanced_at: list[int] = field(default_factory=list)

    def follow(self) -> Rested:
        self.at_s += 1
        return key_frame(self.at_s)

    def glance(self) -> None:
        self.glanced_at.append(self.at_s)

    def packet(self, *_seen: Any) -> int:
        return 0

    def offers(self, now_s: float) -> bool:
        return round(now_s) in self.offered


def reader_of(resting: Resting, let_go: list[int]) -> GatedReader:
    return GatedReader(
        resting,  # type: ignore[arg-type]
        resting,  # type: ignore[arg-type]
        lambda _: None,
        lambda frames, _: let_go.append(frames),
    )


def test_a_key_frame_that_the_gate_offers_is_given_and_its_source_is_told() -> None:
    resting, let_go = Resting(offered={3}), []  # type: ignore[var-annotated]
    decoded, passed = reader_of(resting, let_go).read()
    assert decoded.media_ns == 3_000_000_000
    assert resting.glanced_at == [3]
    assert passed == sum(let_go) == 3 * 25
    assert np.unique(decoded.image(160)).tolist() == [90]


@pytest.mark.parametrize("level", ["full", "pictures"])
def test_none_is_given_where_the_camera_wakes(level: str) -> None:
    resting = Resting(offered=set(range(1, 9)), level=level)

    original = resting.follow

    def follow() -> Rested:
        if resting.at_s == 4:
            resting.level = "packets"
        return original()

    resting.follow = follow  # type: ignore[method-assign]
    decoded, _ = reader_of(resting, []).read()
    assert decoded.media_ns == 5_000_000_000
