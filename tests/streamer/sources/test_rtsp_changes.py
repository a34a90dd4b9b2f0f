"""An RTSP camera that sends another codec underway, under another payload type or the same: the read ends."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av
import pytest
from av.bitstream import BitStreamFilterContext

from streamer.errors import SourceError
from streamer.sources.base import create_source
from tests.clips import make_clip
from tests.patience import patient
from tests.talking_server import SDP, Talk, talking

FIRST, LASTS_S = 96, 120.0
X265 = {"x265-params": "log-level=none", "preset": "ultrafast"}


def nal_units(clip: Path, to_annex_b: str) -> Iterator[list[bytes]]:
    """Of each picture."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        plain = BitStreamFilterContext(to_annex_b, video)
        for packet in container.demux(video):
            for part in plain.filter(packet) if packet.size else ():
                yield [unit for unit in re.split(rb"\x00{2,3}\x01", bytes(part)) if unit]


def playing(before: list[list[bytes]], after: list[list[bytes]], payload_type: int) -> Talk:
    """25 pictures a second: `before`, then `after` over and over, under `payload_type`."""

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        held = b""
        while b"PLAY " not in held:
            while b"\r\n\r\n" not in held:
                held += connection.recv(4096)
            if b"PLAY " in held:
                break
            connection.sendall(answer(held.decode()))
            held = b""
        connection.sendall(answer(held.decode()))
        sequence = 0
        for number in range(int(LASTS_S * 25)):
            first = number < len(before)
            units = before[number] if first else after[(number - len(before)) % len(after)]
            for i, unit in enumerate(units):
                kind = (FIRST if first else payload_type) | (0x80 if i == len(units) - 1 else 0)
                head = struct.pack(">BBHII", 0x80, kind, sequence & 0xFFFF, number * 3600, 7)
                sequence += 1
                connection.sendall(b"$\x00" + (len(head) + len(unit)).to_bytes(2) + head + unit)
            if ending.wait(0.04):
                return

    return talk


def answer(request: str) -> bytes:
    method, number = request.partition(" ")[0], re.findall(r"(?i)cseq: *(\d+)", request)[0]
    more, body = "", ""
    if method == "DESCRIBE":
        more, body = f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n", SDP
    elif method == "SETUP":
        more = "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
    return f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{more}\r\n{body}".encode()


@pytest.mark.parametrize("payload_type", [FIRST, FIRST + 1], ids=["same type", "another type"])
def test_another_codec_ends_the_read_however_much_of_it_comes(tmp_path: Path, payload_type: int) -> None:
    plain = make_clip(tmp_path / "a.mp4", frames=50, options={"bf": "0"})
    other = make_clip(tmp_path / "b.mp4", frames=50, codec="libx265", options=X265)
    before = list(nal_units(plain, "h264_mp4toannexb"))
    after = list(nal_units(other, "hevc_mp4toannexb"))
    with talking(playing(before, after, payload_type)) as server:
        source = create_source(server.url, open_timeout_s=patient(5), read_timeout_s=1.0, transport="tcp")
        with closing(source):
            assert source.open().codec == "h264"
            pictures = [source.read() for _ in range(20)]
            assert pictures[0].image().shape[:2] == (180, 320)
            rest = iter(source.read, None)
            with pytest.raises(SourceError):
                [picture for picture, _ in zip(rest, range(1000), strict=False)]
