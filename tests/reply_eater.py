"""A proxy before Redis that loses replies: what was asked for has happened, and who asked does not know."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path


class ReplyEater:
    """Stands between a sink and Redis; while `eating`, requests go through and replies are lost."""

    def __init__(self, path: Path, behind: str) -> None:
        self.eating = False
        self.eaten = 0  # replies of which nothing, or not all, went through
        self.lets_through = 0  # bytes of a reply before the connection is cut; 0: none, and no cut
        self._behind = behind
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._behind)
            for source, target, replies in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, target, replies), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        while True:
            try:
                part = source.recv(65536)
                if part and not (replies and self.eating):
                    target.sendall(part)
                elif part:
                    self.eaten += 1
                    target.sendall(part[: self.lets_through])
                    part = b"" if self.lets_through else part
            except OSError:
                part = b""
            if not part:
                for end in (source, target):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)  # also for the thread of the other direction
                    end.close()
                return

    def close(self) -> None:
        self._listener.close()
