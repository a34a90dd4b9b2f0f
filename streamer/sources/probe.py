"""A look at a source before it is added: can it be reached and opened, what does it send, what would help.

probe() returns data; the command line prints it. Every step has its part of one deadline.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

from streamer.errors import AuthFailed, SourceEnded, SourceError, SourceStalled
from streamer.sources.base import Decoded, Source, SourceInfo, create_source
from streamer.sources.camera_paths import COMMON_PATHS
from streamer.urls import check_source_url, host_and_port, redact, scheme_of, split_credentials

CONNECT_SHARE = 0.3  # of the deadline, for the TCP connection
MEASURE_S = 3.0  # at least so much video is watched, and on until two key frames were seen
FILE_MEASURE_S = 10.0  # of the clip's own time
SMALL_BOX_WIDTH = 1280
SMALL_BOX_FPS = 15.0
SLOW_RECONNECT_S = 4.0
HIGH_BITRATE_KBPS = 8000


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried: "reach", "open" or "watch"."""

    name: str
    ok: bool
    detail: str
    took_s: float


@dataclass(slots=True)
class ProbeReport:
    """What was found. `problem` is empty where everything worked; `advice` is worth reading either way.

    `keyframe_gap_s` is the longest gap between two key frames, and only a lower bound where
    `keyframe_gap_open` is true, since the second was not waited for. `decode_cpu_ms` is the CPU time of
    reading and decoding one picture on this box.
    """

    url: str  # without credentials
    state: str = "unreachable"  # the camera state it leads to; "live" where everything worked
    problem: str = ""
    steps: list[Step] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    info: SourceInfo | None = None
    fps_measured: float = 0.0
    keyframe_gap_s: float = 0.0
    keyframe_gap_open: bool = True
    bitrate_kbps: float = 0.0
    decode_cpu_ms: float = 0.0
    frames: int = 0

    @property
    def ok(self) -> bool:
        return not self.problem


def probe(url: str, deadline_s: float = 15.0) -> ProbeReport:
    """Try `url`, which may hold credentials, for at most about `deadline_s`.

    Raise ConfigError if no source can be made of the URL; everything else is in the report.
    """
    url = check_source_url(url)
    report = ProbeReport(redact(split_credentials(url)[0]))
    end = time.monotonic() + deadline_s
    camera = scheme_of(url) in ("rtsp", "rtsps")
    try:
        if camera:
            _reach(url, deadline_s * CONNECT_SHARE, report)
        _open_and_watch(url, end, camera, report)
        report.state = "live"
    except SourceError as error:
        report.problem, report.state = str(error), error.state
        report.advice += _what_to_try(url, error, camera)
    else:
        report.advice += _advise(report, camera)
    return report


# ---- the steps


def _reach(url: str, timeout_s: float, report: ProbeReport) -> None:
    """Raise SourceError unless something on the other end speaks RTSP."""
    begun = time.monotonic()
    host, port = host_and_port(url)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            if scheme_of(url) == "rtsp":
                answer = _ask_options(connection, f"rtsp://{host}:{port}/", begun + timeout_s)
                if answer.startswith(b"HTTP/"):
                    raise SourceError(
                        f"{report.url}: a web server listens on port {port}: RTSP is often on 554 or 8554"
                    )
    except TimeoutError:
        error: SourceError = SourceStalled(
            f"{report.url}: no answer from {host}:{port} within {timeout_s:g} s"
        )
    except ConnectionRefusedError:
        error = SourceError(f"{report.url}: {host} is there, but refuses connections to port {port}")
    except (OSError, UnicodeError) as failure:
        reason = getattr(failure, "strerror", None) or "unknown host"
        error = SourceError(f"{report.url}: {host} cannot be reached ({reason})")
    else:
        report.steps.append(Step("reach", True, f"{host}:{port} answers", time.monotonic() - begun))
        return
    report.steps.append(Step("reach", False, str(error), time.monotonic() - begun))
    raise error


def _ask_options(connection: socket.socket, url: str, end: float) -> bytes:
    """The first bytes of the answer to OPTIONS; empty where none came. No credentials are sent."""
    connection.settimeout(max(0.05, end - time.monotonic()))
    try:
        connection.sendall(f"OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        return connection.recv(64)
    except OSError:
        return b""  # the open that follows says it better


def _open_and_watch(url: str, end: float, camera: bool, report: ProbeReport) -> None:
    left_s = max(0.5, end - time.monotonic())
    source = create_source(url, realtime=False, open_timeout_s=left_s, read_timeout_s=left_s)
    begun = time.monotonic()
    name = "open"
    try:
        info = source.open()
        report.info = info
        report.steps.append(
            Step(name, True, f"{info.codec} {info.width}x{info.height}", time.monotonic() - begun)
        )
        name, begun = "watch", time.monotonic()
        watched_s = _watch(source, end, MEASURE_S if camera else FILE_MEASURE_S, camera, report)
        detail = f"{report.frames} pictures, {watched_s:.1f} s of video"
        report.steps.append(Step(name, True, detail, time.monotonic() - begun))
    except SourceError as error:
        report.steps.append(Step(name, False, str(error), time.monotonic() - begun))
        raise
    finally:
        source.close()


def _watch(source: Source, end: float, enough_s: float, camera: bool, report: ProbeReport) -> float:
    """Read and measure; returns the seconds of video that were seen. Raise SourceError without a picture."""
    cpu_ns = time.thread_time_ns()
    first: Decoded | None = None
    media_s = 0.0
    keyframe_s = 0.0
    while time.monotonic() < end:
        try:
            picture = source.read()
        except SourceError as error:
            if report.frames > 1 and (isinstance(error, SourceEnded) or time.monotonic() >= end):
                break
            raise
        first = first or picture
        report.frames += 1
        media_s = (picture.media_ns - first.media_ns) / 1e9
        if picture.key_frame and picture is not first:
            report.keyframe_gap_s = max(report.keyframe_gap_s, media_s - keyframe_s)
            report.keyframe_gap_open = False
            keyframe_s = media_s
        if media_s >= enough_s and not (camera and report.keyframe_gap_open):
            break
    if report.keyframe_gap_open:
        report.keyframe_gap_s = media_s
    if report.frames:
        report.decode_cpu_ms = (time.thread_time_ns() - cpu_ns) / report.frames / 1e6
    if media_s > 0:
        report.fps_measured = (report.frames - 1) / media_s
        report.bitrate_kbps = getattr(source, "video_bytes", 0) * 8 / media_s / 1000
    return media_s


# ---- what to say about it


def _what_to_try(url: str, error: SourceError, camera: bool) -> list[str]:
    if not camera:
        return []
    host, port = host_and_port(url)
    text = str(error)
    if isinstance(error, AuthFailed):
        return [
            "give the user name and password of the camera itself, as its own web page takes them",
            "some cameras want RTSP switched on, or a user of their own for it (ONVIF or RTSP user)",
            "many cameras lock a user out after a few attempts: wait some minutes before the next one",
        ]
    if "(404)" in text or "no video" in text or "no video stream" in text:
        paths = [f"{paths.maker}: {paths.main} (substream {paths.sub})" for paths in COMMON_PATHS]
        return ["the path after the port is the maker's choice; common ones:", *paths]
    if "refuses connections" in text or "refused" in text:
        return [
            f"RTSP may be switched off in {host}, or on another port than {port}: often 554, else 8554 or 10554",
            "the camera's web page says it under Network, Ports or Integration",
        ]
    if "web server" in text:
        return [f"leave the port away, or give the one for RTSP: rtsp://{host}:554/…"]
    return [
        f"is the camera on, and in a network that this box reaches? Try: ping {host}",
        "is the address still the same? Cameras with DHCP may get another one: reserve it in the router",
        f"does a firewall or another VLAN stand between? TCP port {port} must be open",
    ]


def _advise(report: ProbeReport, camera: bool) -> list[str]:
    info = report.info
    if info is None or not camera:
        return []
    fps = report.fps_measured or info.fps
    core = report.decode_cpu_ms * fps / 1000
    advice = []
    if info.width > SMALL_BOX_WIDTH or fps > SMALL_BOX_FPS:
        advice.append(
            f"decoding {info.width}x{info.height} at {fps:.0f} frames a second takes about {core:.2f} of a core of "
            "this box; the camera's substream (about 640x360, 10 to 15 frames a second) is enough for counting"
        )
    if info.codec == "hevc":
        advice.append("H.265 costs more to decode than H.264: where CPU is scarce, set this stream to H.264")
    if info.codec == "mjpeg":
        advice.append("motion JPEG fills the network: where the camera has an H.264 stream, use that")
    if report.keyframe_gap_s > SLOW_RECONNECT_S:
        least = "more than " if report.keyframe_gap_open else ""
        advice.append(
            f"key frames come {least}{report.keyframe_gap_s:.1f} s apart, and a reconnect waits for one: set the "
            "I-frame interval to 1 or 2 s, and switch off H.264+, H.265+ or 'smart codec'"
        )
    if info.fps and fps < 0.8 * info.fps:
        advice.append(
            f"it says {info.fps:.0f} frames a second and sends {fps:.1f}: low light (slow shutter), or a weak network"
        )
    if 0 < fps < 5:
        advice.append(f"{fps:.1f} frames a second are few to follow people and cars by: 8 to 15 are good")
    if report.bitrate_kbps > HIGH_BITRATE_KBPS:
        advice.append(f"{report.bitrate_kbps / 1000:.0f} Mbit/s is much for the network: 1 to 4 are enough")
    return advice
