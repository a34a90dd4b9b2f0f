"""Reads a camera's source as its gate says: what is let go and what is worth inference."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.scene.health import small_grey
from pipelines.values import Image
from streamer.sources.base import Decoded, Rested, RestingSource
from streamer.sources.gate import BEFORE_NS, LOOK_WIDTH, Gate

KEPT_EVERY_NS = 80_000_000  # of kept frames one in so much time is looked at at least, ...
MAX_KEPT = 16  # ... and so many in all


class GatedReader:
    """For one opening of `source`. `look` gets every picture that was decoded, `let_go` how many frames were
    not offered, and when the last of them was captured.
    """

    def __init__(
        self,
        source: RestingSource,
        gate: Gate,
        look: Callable[[Decoded], None],
        let_go: Callable[[int, int], None],
    ) -> None:
        self._source, self._gate = source, gate
        self._look, self._let_go = look, let_go
        self._shape: tuple[int, int, int] | None = None  # pass of a file, width, height
        self._kept_from_ns = self._kept_every_ns = self._kept_last_ns = self._taken = 0

    def read(self) -> tuple[Decoded, int]:
        """The next picture that is worth inference, and how many frames there were before it that were not.
        Raise as Source.read()."""
        passed = 0
        while True:
            seen = self._source.follow()
            if isinstance(seen, Rested):
                passed += self._rested(seen)
                if seen.picture is not None and self._is_glanced_at(seen.picture):
                    return seen.picture, passed
                continue
            self._look(seen)
            if not self._is_let_go(seen):
                return seen, passed
            passed += 1
            self._let_go(1, seen.captured_ns)

    def _is_let_go(self, decoded: Decoded) -> bool:
        if decoded.kept:
            return not self._takes(decoded.received_mono_ns)
        gate, now_s = self._gate, decoded.received_mono_ns / 1e9
        shape = (decoded.loop, decoded.width, decoded.height)
        if shape != self._shape:
            self._shape = shape
            gate.restart(now_s)
        grey = _grey(decoded) if gate.wants_picture(now_s, decoded.key_frame) else None
        gate.frame(now_s, self._source.packet_sizes(), grey, decoded.key_frame)
        if gate.level == "packets" and not self._source.rest(gate.keys_every_s):
            gate.refuse_packets()
        return not gate.offers(now_s)

    def _rested(self, seen: Rested) -> int:
        """Of a packet: returns how many frames are let go with it."""
        now_s, picture = seen.received_mono_ns / 1e9, seen.picture
        grey = None
        if picture is not None:
            self._look(picture)
            grey = _grey(picture)
        groups = self._gate.packet(now_s, seen.size, grey, seen.too_long)
        gone = seen.let_go + (self._wake(seen, groups) if groups else 0)
        self._let_go(gone, seen.captured_ns)
        return gone

    def _is_glanced_at(self, picture: Decoded) -> bool:
        """Whether a key frame of a rest is offered, since of what stands something has to be seen."""
        gate = self._gate
        if gate.level != "packets" or not gate.offers(picture.received_mono_ns / 1e9):
            return False
        self._source.glance()
        return True

    def _wake(self, seen: Rested, groups: int) -> int:
        gone = self._source.wake(groups)
        now_ns = seen.received_mono_ns
        self._kept_from_ns = 0 if groups > 1 else now_ns - BEFORE_NS
        self._kept_every_ns = KEPT_EVERY_NS
        self._kept_last_ns = self._taken = 0
        return gone

    def _takes(self, received_ns: int) -> bool:
        if received_ns < self._kept_from_ns or received_ns - self._kept_last_ns < self._kept_every_ns:
            return False
        self._kept_last_ns = received_ns
        self._taken += 1
        if self._taken % (MAX_KEPT // 2) == 0:  # a long way back: the further on, the fewer
            self._kept_every_ns *= 2
        return True


def _grey(decoded: Decoded) -> Image:
    return small_grey(decoded.image(LOOK_WIDTH))
