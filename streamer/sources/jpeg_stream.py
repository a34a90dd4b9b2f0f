"""From bytes in which JPEG pictures follow each other to the pictures, whatever stands between them.

Cameras send motion JPEG as multipart/x-mixed-replace; many state another boundary than they send, or a wrong
length, or none. A picture says by itself where it ends (ITU-T T.81, B.1 and B.2), so that nothing else has
to be believed. What is cut off in the middle is left out, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from streamer.errors import SourceDamaged

MAX_PICTURE_BYTES = 32 << 20
_START = b"\xff\xd8\xff"
# In entropy-coded data a marker is 0xFF and neither a stuffed zero, a restart (RSTn) nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_SOS, _EOI, _SOI = 0xDA, 0xD9, 0xD8
_BARE = (0x01, *range(0xD0, 0xD8))  # markers without a length


class JpegStream:
    """`read` gives the next bytes, at least one, and none at the end. `cut` counts broken pictures."""

    def __init__(self, read: Callable[[], bytes], shown: str) -> None:
        self._read, self._shown = read, shown
        self._held = bytearray()
        self.cut = 0

    def next(self) -> bytes:
        """One whole picture; empty at the end. Raise SourceDamaged where there is none for too long."""
        while True:
            if not self._find_start():
                return b""
            if (end := self._end()) is None:
                self.cut += 1  # the stream ended in it
                return b""
            if end > 0:
                picture = bytes(self._held[:end])
                del self._held[:end]
                return picture
            self.cut += 1
            del self._held[: -end or 1]

    def _find_start(self) -> bool:
        passed = 0
        while (at := self._held.find(_START)) < 0:
            passed += len(self._held)
            del self._held[: max(0, len(self._held) - len(_START) + 1)]
            if passed > MAX_PICTURE_BYTES:
                raise SourceDamaged(f"{self._shown}: no JPEG picture in what it sends: is this its stream?")
            if not self._more():
                return False
        del self._held[:at]
        return True

    def _more(self) -> bool:
        if len(self._held) > MAX_PICTURE_BYTES:
            raise SourceDamaged(f"{self._shown}: a JPEG picture does not end: what it sends is damaged")
        part = self._read()
        self._held += part
        return bool(part)

    def _end(self) -> int | None:
        """Behind the end of the picture that begins what is held; negative: so far it is broken; None: the
        stream ended in it."""
        at, in_scan = 2, False
        while True:
            found = self._marker(at, in_scan)
            if found is None:
                return None
            at, kind = found
            if kind == _EOI:
                return at
            if kind == _SOI or at < 0:  # another one begins before this one ended
                return -(abs(at) - 2) or -1
            if kind in _BARE:
                continue
            while len(self._held) < at + 2:
                if not self._more():
                    return None
            at += max(2, int.from_bytes(self._held[at : at + 2], "big"))
            in_scan = kind == _SOS

    def _marker(self, at: int, in_scan: bool) -> tuple[int, int] | None:
        """(behind it, its kind) of the next marker; (-behind, kind) where something else stands there."""
        while True:
            match = _MARKER.search(self._held, at)
            if match is not None:
                kind = self._held[match.start() + 1]
                between = bytes(self._held[at : match.start()]).strip(b"\xff")
                stray = bool(between) and not in_scan
                return (-match.end() if stray else match.end()), kind
            at = max(at, len(self._held) - 1) if in_scan else at
            if not self._more():
                return None


def multipart(picture: bytes) -> bytes:
    """`picture` as a part that FFmpeg's demuxer mpjpeg reads at once, since it states its length."""
    head = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
    return head + picture + b"\r\n"
