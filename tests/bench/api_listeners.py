"""Many who listen, in a process: `python -m tests.bench.api_listeners HOST PORT TOKEN COUNT SECONDS SCRAPES`.

COUNT streams of events are held open for SECONDS, and the metrics asked for SCRAPES times in it. The last
line printed is JSON: `arrived`, (event id, Unix seconds) of every event of every stream, and `cpu_s`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


async def _listen(host: str, port: int, token: str, arrived: list[tuple[str, float]]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    await _ask(writer, host, port, token, "/api/v1/events", "text/event-stream")
    try:
        while line := await reader.readline():
            if line.startswith(b"id: "):
                arrived.append((line[4:].strip().decode(), time.time()))
    finally:
        writer.close()


async def _ask(
    writer: asyncio.StreamWriter, host: str, port: int, token: str, path: str, accept: str = "*/*"
) -> None:
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Accept: {accept}\r\nConnection: close\r\n\r\n".encode()
    )
    await writer.drain()


async def _scrape(host: str, port: int, token: str) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    await _ask(writer, host, port, token, "/metrics")
    answer = await reader.read()
    writer.close()
    if b" 200 " not in answer[:20]:
        raise RuntimeError(answer[:200].decode(errors="replace"))


async def main(host: str, port: int, token: str, count: int, seconds: float, scrapes: int) -> None:
    arrived: list[tuple[str, float]] = []
    streams = [asyncio.create_task(_listen(host, port, token, arrived)) for _ in range(count)]
    for _ in range(scrapes):
        await _scrape(host, port, token)
        await asyncio.sleep(seconds / scrapes)
    if not scrapes:
        await asyncio.sleep(seconds)
    ended = [task for task in streams if task.done()]
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    print(json.dumps({"arrived": arrived, "cpu_s": time.process_time(), "ended": len(ended)}))


if __name__ == "__main__":
    name, at, secret, number, span, asked = sys.argv[1:]
    asyncio.run(main(name, int(at), secret, int(number), float(span), int(asked)))
