"""Just enough of an RTMP server to play what no server at hand plays: a stream that becomes another underway.

`parts` are FLV files; each goes on where the one before has ended, on the same connection, as a camera's does
whose settings are changed. Method: Adobe's RTMP specification 1.0, sections 5.2 (handshake) and 5.3 (chunks).
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.talking_server import talking

_HANDSHAKE = 1536
_CHUNK = 1 << 16
_AMF_COMMAND, _SET_CHUNK_SIZE = 20, 1
_FLV_HEADER = 9 + 4


@contextmanager
def rtmp_playing(*parts: Path, speed: float = 1.0) -> Iterator[int]:
    """Its port. Who plays first gets all of the parts, `speed` times as fast as they are, and who comes later
    the last one alone."""
    played: list[socket.socket] = []

    def serve(connection: socket.socket, ending: threading.Event) -> None:
        with suppress(OSError):  # who has seen enough hangs up
            _handshake(connection)
            _let_play(connection)
            played.append(connection)
            _play(connection, parts if len(played) == 1 else parts[-1:], speed, ending)
            ending.wait()

    with talking(serve) as server:
        yield server.port


def _handshake(connection: socket.socket) -> None:
    asked = _whole(connection, 1 + _HANDSHAKE)
    connection.sendall(b"\x03" + bytes(8) + os.urandom(_HANDSHAKE - 8) + asked[1:])
    _whole(connection, _HANDSHAKE)


def _let_play(connection: socket.socket) -> None:
    """Answer `connect` and `createStream` and read until `play`; what else is asked is passed over."""
    connection.sendall(_message(_SET_CHUNK_SIZE, struct.pack(">I", _CHUNK)))
    heard = b""
    answered: set[bytes] = set()
    while b"\x00\x04play\x00" not in heard:
        heard += _some(connection)
        for name, more in ((b"connect", b"\x05\x05"), (b"createStream", b"\x05" + _number(1))):
            at = heard.find(_text(name))
            after = at + len(_text(name))
            if at >= 0 and name not in answered and len(heard) >= after + 9:
                answered.add(name)
                connection.sendall(
                    _message(_AMF_COMMAND, _text(b"_result") + heard[after : after + 9] + more)
                )
    status = b"\x03" + _text(b"level")[1:] + _text(b"status")
    status += _text(b"code")[1:] + _text(b"NetStream.Play.Start") + b"\x00\x00\x09"
    connection.sendall(_message(_AMF_COMMAND, _text(b"onStatus") + _number(0) + b"\x05" + status))


def _play(connection: socket.socket, parts: Sequence[Path], speed: float, ending: threading.Event) -> None:
    begun, offset = time.monotonic(), 0
    for part in parts:
        last = offset
        for kind, at_ms, data in _tags(part.read_bytes()):
            last = offset + at_ms
            if ending.wait(max(0.0, begun + last / 1000 / speed - time.monotonic())):
                return
            connection.sendall(_message(kind, data, last))
        offset = last + 40


def _tags(flv: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, time in milliseconds and content."""
    at = _FLV_HEADER
    while at + 11 <= len(flv):
        size = int.from_bytes(flv[at + 1 : at + 4])
        at_ms = int.from_bytes(flv[at + 7 : at + 8] + flv[at + 4 : at + 7])
        yield flv[at], at_ms, flv[at + 11 : at + 11 + size]
        at += 11 + size + 4


def _message(kind: int, data: bytes, at_ms: int = 0) -> bytes:
    head = at_ms.to_bytes(3) + len(data).to_bytes(3) + bytes([kind])
    head += struct.pack("<I", int(kind not in (_AMF_COMMAND, _SET_CHUNK_SIZE)))
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    return b"\x04" + head + b"\xc4".join(chunks)


def _text(text: bytes) -> bytes:
    return b"\x02" + len(text).to_bytes(2) + text


def _number(number: float) -> bytes:
    return b"\x00" + struct.pack(">d", number)


def _whole(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        read += _some(connection, size - len(read))
    return read


def _some(connection: socket.socket, most: int = 4096) -> bytes:
    if not (part := connection.recv(most)):
        raise ConnectionResetError("hung up")
    return part
