"""The packets of an input in order, some of which may be looked at before they are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

MAX_AGAIN = 100  # in a row: how often a demuxer that cannot go on from here is asked once more
FFMPEG_ERRORS = (av.error.FFmpegError, OSError, ValueError, MemoryError)


class Packets:
    """All streams: the deadline of a read counts packets of any, and one that is not ours must end it."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._rest: Iterator[Packet[Stream]] = container.demux()
        self._held: deque[Packet[Stream]] = deque()
        self._failed: Exception | None = None

    def next(self) -> Packet[Stream] | None:
        """The next packet, None at the end. Raise what PyAV raises."""
        if self._held:
            return self._held.popleft()
        if self._failed is not None:
            raise self._failed
        return self._read()

    def ahead(self, most: int) -> Iterator[Packet[Stream]]:
        """Up to `most` packets from here on; next() gives them again. Ends early at the end or an error,
        which is next()'s to raise."""
        for _ in range(most):
            try:
                packet = self._read()
            except FFMPEG_ERRORS as error:
                self._failed = error
                return
            if packet is None:
                return
            self._held.append(packet)
            yield packet

    def _read(self) -> Packet[Stream] | None:
        for _ in range(MAX_AGAIN):
            try:
                return next(self._rest, None)
            except IndexError:  # PyAV at the end of a damaged file in which streams appeared underway
                return None
            except BlockingIOError:  # of a damaged transport stream: what follows can often be read
                self._rest = self._container.demux()
        return next(self._rest, None)
