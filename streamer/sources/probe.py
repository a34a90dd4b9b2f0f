"""A look at a source before it is added: can it be reached and opened, what does it send, what would help.

probe() returns data; the command line prints it. Every step has its part of one deadline.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from streamer.errors import PortClosed, SourceEnded, SourceError, SourceStalled
from streamer.ipc.choices import Transport
from streamer.logs import redact
from streamer.sources.advice import advise, warn_of_full_box, what_to_try
from streamer.sources.base import Decoded, Source, create_source
from streamer.sources.limits import SourceLimits, resolve
from streamer.sources.report import ProbeReport, Step
from streamer.sources.room import Room
from streamer.sources.urls import (
    check_choice,
    check_source_url,
    host_and_port,
    lookup_scheme,
    scheme_of,
    split_credentials,
)

CONNECT_SHARE = 0.3  # of the deadline, for the TCP connection
MEASURE_S = 3.0  # at least so much video is watched, and on until two key frames were seen
FILE_MEASURE_S = 10.0  # of the clip's own time


def probe(
    url: str,
    deadline_s: float = 15.0,
    *,
    stream: int | None = None,
    transport: Transport = "auto",
    ca: str = "",
    limits: SourceLimits | None = None,
    on_picture: Callable[[Decoded], None] | None = None,
    room: Room | None = None,
) -> ProbeReport:
    """Try `url`, which may hold credentials, for at most about `deadline_s`, where `limits` allow it; the
    first picture goes to `on_picture`. `room` is what the box has left, where the camera is to be added.

    Raise ConfigError if no source can be made of the URL; everything else is in the report.
    """
    url = check_source_url(url)
    check_choice(url, stream, transport, ca)
    report = ProbeReport(redact(split_credentials(url)[0]))
    end = time.monotonic() + deadline_s
    scheme = lookup_scheme(url)
    try:
        if scheme.network:
            _reach(url, deadline_s * CONNECT_SHARE, limits or SourceLimits(), report)
        left_s = max(0.5, end - time.monotonic())
        source = create_source(
            url,
            realtime=False,
            open_timeout_s=left_s,
            read_timeout_s=left_s,
            stream=stream,
            transport=transport,
            ca=ca,
            limits=limits,
        )
        _open_and_watch(source, end, scheme.live, report, on_picture)
        report.state = "live"
    except SourceError as error:
        report.problem, report.state = str(error), error.state
        report.advice += what_to_try(url, error) if scheme.network else []
    else:
        if scheme.live:
            report.advice += advise(report, room)
        elif room is not None:
            report.advice += warn_of_full_box(report, room)
    return report


# ---- the steps


def _reach(url: str, timeout_s: float, limits: SourceLimits, report: ProbeReport) -> None:
    """Raise SourceError unless something listens there that may be RTSP."""
    begun = time.monotonic()
    host, port = host_and_port(url)
    try:
        _knock(url, begun + timeout_s, limits, report.url)
    except TimeoutError:
        error: SourceError = SourceStalled(
            f"{report.url}: no answer from {host}:{port} within {timeout_s:g} s"
        )
    except ConnectionRefusedError:
        error = PortClosed(f"{report.url}: {host} is there, but refuses connections to port {port}")
    except SourceError as failure:
        error = failure
    except OSError as failure:
        reason = failure.strerror or "unknown host"
        error = SourceError(f"{report.url}: {host} cannot be reached ({reason})")
    else:
        report.steps.append(Step("reach", True, f"{host}:{port} answers", time.monotonic() - begun))
        return
    report.steps.append(Step("reach", False, str(error), time.monotonic() - begun))
    raise error


def _knock(url: str, end: float, limits: SourceLimits, shown: str) -> None:
    """Connect, and ask for the options of the server. Raise OSError, or SourceError where it may not be
    asked, has no address, or is another service.
    """
    host, port = host_and_port(url)
    address = resolve(host, port, limits, shown)
    with socket.create_connection((address, port), timeout=max(0.05, end - time.monotonic())) as connection:
        if scheme_of(url) != "rtsp":
            return
        answer = _ask_options(connection, f"rtsp://{f'[{host}]' if ':' in host else host}:{port}/", end)
        if answer and not answer.startswith(b"RTSP/"):
            raise PortClosed(f"{shown}: a web server or another service listens on port {port}, not RTSP")


def _ask_options(connection: socket.socket, url: str, end: float) -> bytes:
    """The first bytes of the answer to OPTIONS; empty where none came. No credentials are sent."""
    connection.settimeout(max(0.05, end - time.monotonic()))
    try:
        connection.sendall(f"OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        return connection.recv(64)
    except OSError:
        return b""  # the open that follows says it better


def _open_and_watch(
    source: Source,
    end: float,
    live: bool,
    report: ProbeReport,
    on_picture: Callable[[Decoded], None] | None,
) -> None:
    begun = time.monotonic()
    name = "open"
    try:
        info = source.open()
        report.info = info
        over = f" over {info.transport.upper()}" if info.transport else ""
        detail = f"{info.codec} {info.width}x{info.height}{over}"
        report.steps.append(Step(name, True, detail, time.monotonic() - begun))
        name, begun = "watch", time.monotonic()
        watched_s = _watch(source, end, MEASURE_S if live else FILE_MEASURE_S, live, report, on_picture)
        detail = f"{report.frames} pictures, {watched_s:.1f} s of video"
        report.steps.append(Step(name, True, detail, time.monotonic() - begun))
    except SourceError as error:
        report.steps.append(Step(name, False, str(error), time.monotonic() - begun))
        raise
    finally:
        source.close()


def _watch(
    source: Source,
    end: float,
    enough_s: float,
    live: bool,
    report: ProbeReport,
    on_picture: Callable[[Decoded], None] | None,
) -> float:
    """Read and measure; returns the seconds of video that were seen. Raise SourceError without a picture."""
    cpu_ns = time.thread_time_ns()
    first: Decoded | None = None
    media_s = 0.0
    keyframe_s = 0.0
    while first is None or time.monotonic() < end:  # one, also where the opening took all the time
        try:
            picture = source.read()
        except SourceError as error:
            if report.frames > 1 and (isinstance(error, SourceEnded) or time.monotonic() >= end):
                break
            raise
        if first is None:
            first = picture
            if on_picture is not None:
                on_picture(picture)
        report.frames += 1
        media_s = (picture.media_ns - first.media_ns) / 1e9
        if picture.key_frame and picture is not first:
            report.keyframe_gap_s = max(report.keyframe_gap_s, media_s - keyframe_s)
            report.keyframe_gap_open = False
            keyframe_s = media_s
        if media_s >= enough_s and not (live and report.keyframe_gap_open):
            break
    if report.keyframe_gap_open:
        report.keyframe_gap_s = media_s
    if report.frames:
        report.decode_cpu_ms = (time.thread_time_ns() - cpu_ns) / report.frames / 1e6
    if media_s > 0:
        report.fps_measured = (report.frames - 1) / media_s
        report.bitrate_kbps = getattr(source, "video_bytes", 0) * 8 / media_s / 1000
    return media_s
