"""Does a frame ever cross torn, or a slot get lost? Two real processes hand over as fast as they can.

This process writes, a child reads. Every slot is filled with its frame's number, and looked at when it
arrives and again when it is given back, which may be late and more than once, by chance. The reader is
killed now and then; its slots are reclaimed under a new generation, and what it sent before still arrives.
Tests run a short form of it.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from streamer.ipc.frame_ring import RingMemory, RingReader, RingWriter

NAME = "ring_stress"
DESCRIPTION = (
    "10^7 handovers over a ring between two processes, slots given back late and twice, readers killed"
)

SLOTS, WIDTH, HEIGHT = 16, 16, 8  # small pictures: it is the protocol that is strained
HANDED = struct.Struct("=qqqq")  # generation, slot, lease, number
GIVEN_BACK = struct.Struct("=qqqq")  # generation, lease, number, whether its words were not all its own
LATE, AGAIN = 0.1, 0.05  # shares of leases that are kept for later, and that are given back once more
CHUNK = 1 << 16
ANSWER_S = 60.0  # more than any answer takes: a reader that gives none has hung


class Writer:
    """The capture side, and the supervisor's part: it starts readers, kills them and reclaims."""

    def __init__(self, path: Path, seed: int, writer_class: type[RingWriter] = RingWriter) -> None:
        RingMemory.create(path, SLOTS, WIDTH, HEIGHT)
        self.path, self.seed = path, seed
        self.ring = writer_class(RingMemory.attach(path, SLOTS, WIDTH, HEIGHT), 1)
        self.words = [self.ring.memory.slot(slot).reshape(-1).view(np.int64) for slot in range(SLOTS)]
        self.handed = self.read = self.torn = self.repeated = self.lost_with_reader = 0
        self.out: set[int] = set()  # numbers that the present reader has not given back
        self.late = bytearray()  # what a dead reader had sent, and not yet arrived
        self.start_reader()

    def start_reader(self) -> None:
        self.socket, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.bench.ring_stress", str(theirs.fileno())]
        command += [str(self.path), str(self.seed + self.ring.generation)]
        self.socket.settimeout(ANSWER_S)
        self.reader = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.partial = bytearray()

    def turn(self, last: int) -> None:
        """Fill what is free, hand it over, and wait for something to come back."""
        message = bytearray()
        while self.handed < last and (slot := self.ring.acquire()) is not None:
            self.handed += 1
            self.words[slot].fill(self.handed)
            message += HANDED.pack(self.ring.generation, slot, self.ring.next_lease, self.handed)
            self.ring.lease(slot)
            self.out.add(self.handed)
        self.socket.sendall(message)
        self.receive()

    def receive(self) -> None:
        data = self.socket.recv(CHUNK)
        if not data:
            raise RuntimeError(f"the reader ended by itself ({self.reader.wait()})")
        self.partial += data
        self.take(self.partial)
        if self.late:
            self.take(self.late)

    def take(self, data: bytearray) -> None:
        whole = len(data) - len(data) % GIVEN_BACK.size
        for generation, lease, number, torn in GIVEN_BACK.iter_unpack(bytes(data[:whole])):
            self.ring.release(generation, (lease,))
            self.torn += torn
            if number in self.out:
                self.out.discard(number)
                self.read += 1
            else:
                self.repeated += 1
        del data[:whole]

    def kill_reader(self) -> None:
        """What it had sent arrives after the reclaim."""
        self.reader.send_signal(signal.SIGKILL)
        self.reader.wait()
        self.late = self.partial
        while data := self._rest():
            self.late += data
        self.socket.close()
        self.lost_with_reader += len(self.out)
        self.out.clear()
        self.ring.reclaim(self.ring.generation + 1)
        self.start_reader()

    def _rest(self) -> bytes:
        try:
            return self.socket.recv(CHUNK)
        except ConnectionError:  # it died with messages unread
            return b""

    def finish(self) -> int:
        """Wait for all that is out; return how many slots do not come back."""
        self.socket.shutdown(socket.SHUT_WR)  # the reader gives back what it kept, and ends
        while data := self.socket.recv(CHUNK):
            self.partial += data
        self.take(self.partial)
        self.reader.wait()
        return self.ring.leased

    def close(self) -> None:
        self.socket.close()
        self.reader.kill()
        self.reader.wait()


def run(
    handovers: int = 10_000_000,
    kills: int = 20,
    seed: int = 1,
    writer_class: type[RingWriter] = RingWriter,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="st-ring-") as folder:
        writer = Writer(Path(folder) / "cam.1", seed, writer_class)
        try:
            return _strain(writer, int(handovers), int(kills))
        finally:
            writer.close()


def _strain(writer: Writer, handovers: int, kills: int) -> dict[str, Any]:
    started_s = time.monotonic()
    for part in range(1, kills + 2):
        last = handovers * part // (kills + 1)
        while writer.handed < last:
            writer.turn(last)
        if part <= kills:
            writer.kill_reader()
    lost_slots = writer.finish()
    took_s = time.monotonic() - started_s
    return {
        "handovers": writer.handed,
        "handovers_per_s": round(writer.handed / took_s),
        "read": writer.read,
        "readers_killed": kills,
        "lost_with_a_dead_reader": writer.lost_with_reader,
        "given_back_again": writer.repeated,
        "torn": writer.torn,
        "lost": len(writer.out) + lost_slots,
    }


def render(result: dict[str, Any]) -> str:
    return "\n".join(f"{name.replace('_', ' '):<24} {value:>12,}" for name, value in result.items())


# ---- the reader, a process of its own


def read(connection: socket.socket, path: str, seed: int) -> None:
    """Check what is handed over, and give it back: at once, late, or twice."""
    ring, chance, partial = RingReader(), random.Random(seed), bytearray()
    views = [ring.view(path, slot, WIDTH, HEIGHT).reshape(-1).view(np.int64) for slot in range(SLOTS)]
    kept: list[tuple[int, int, int, int]] = []
    again: list[bytes] = []
    while data := connection.recv(CHUNK):
        partial += data
        whole = len(partial) - len(partial) % HANDED.size
        given_back = bytearray().join(again)
        again.clear()
        frames = kept + list(HANDED.iter_unpack(bytes(partial[:whole])))
        del partial[:whole]
        kept = [frame for frame in frames[1:] if chance.random() < LATE]
        for frame in frames:
            generation, slot, lease, number = frame
            torn = int((views[slot] != number).any())
            if frame in kept and not torn:
                continue
            answer = GIVEN_BACK.pack(generation, lease, number, torn)
            given_back += answer
            if chance.random() < AGAIN:
                again.append(answer)
        connection.sendall(given_back)
    for generation, slot, lease, number in kept:
        torn = int((views[slot] != number).any())
        connection.sendall(GIVEN_BACK.pack(generation, lease, number, torn))


if __name__ == "__main__":
    read(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3]))
    os._exit(0)
