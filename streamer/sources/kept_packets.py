"""The packets of a camera that may rest, kept so that what came just before it woke can still be decoded.

They are kept while it is awake, too: a camera can rest at once, in the middle of a group, since what comes
next can be decoded later with what came before it. What has been decoded is given no second time.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from av.packet import Packet
from av.stream import Stream

MAX_KEPT_BYTES = 6 << 20  # of a camera: twelve seconds of 4 Mbit/s
MAX_GROUP_S = 6.0  # between two key frames: who would have to decode more than that does not rest


class Arrival(NamedTuple):
    """When a packet came: on the wall clock of the box, and monotonic."""

    captured_ns: int
    received_mono_ns: int


def arrives_now(_packet: Packet[Stream]) -> Arrival:
    return Arrival(time.time_ns(), time.monotonic_ns())


class Kept(NamedTuple):
    packet: Packet[Stream]
    arrival: Arrival
    given: bool = False  # its picture was: it is decoded again for the sake of those after it


class KeptPackets:
    """From the key frame before the last one on. `let_go` counts those that are kept no longer and were not
    given."""

    def __init__(self) -> None:
        self._groups: deque[list[Kept]] = deque([[]])
        self._bytes = 0
        self.let_go = 0

    def add(self, packet: Packet[Stream], arrival: Arrival, given: bool = False) -> None:
        """`given`: it is decoded now."""
        if packet.is_keyframe:
            self._groups.append([])
            self._drop_before(2)
        self._groups[-1].append(Kept(packet, arrival, given))
        self._bytes += packet.size
        if self._bytes > MAX_KEPT_BYTES:
            self._drop_before(1)

    def give_last(self) -> None:
        """The picture of the packet that came last is given."""
        if self._groups[-1]:
            self._groups[-1][-1] = self._groups[-1][-1]._replace(given=True)

    def forget(self) -> None:
        """All of them: they have been given, or will be by themselves."""
        self._groups, self._bytes = deque([[]]), 0

    @property
    def whole(self) -> bool:
        """Whether they begin with a key frame, so that they can be decoded."""
        return any(self._groups)

    @property
    def too_long(self) -> bool:
        """Whether the group that it is in takes too much, of time or memory, to be worth keeping."""
        group = self._groups[-1]
        if not group:
            return False
        length_s = (group[-1].arrival.received_mono_ns - group[0].arrival.received_mono_ns) / 1e9
        return length_s > MAX_GROUP_S or self._bytes > MAX_KEPT_BYTES

    def take(self, groups: int) -> list[Kept]:
        """Those of the last `groups` (1 or 2), each from its key frame on; the others are let go."""
        self._drop_before(groups)
        taken = [kept for group in self._groups for kept in group]
        self.forget()
        return taken

    def _drop_before(self, groups: int) -> None:
        while len(self._groups) > groups:
            gone = self._groups.popleft()
            self.let_go += sum(not kept.given for kept in gone)
            self._bytes -= sum(kept.packet.size for kept in gone)
