"""What to tell a person about a camera: what to try when it fails, what to set when it works."""

from __future__ import annotations

from streamer.errors import (
    AuthFailed,
    AuthUnknown,
    NoSuchStream,
    PortClosed,
    SourceDamaged,
    SourceError,
    SourceRefused,
    StreamNotFound,
)
from streamer.sources.camera_paths import COMMON_PATHS, CameraPaths, substream_of
from streamer.sources.report import ProbeReport
from streamer.sources.room import Room
from streamer.sources.tls import CertificateRefused
from streamer.sources.urls import host_and_port, scheme_of

SMALL_BOX_WIDTH = 1280
SMALL_BOX_FPS = 15.0
SUBSTREAM_PIXELS = 640 * 360
FEW_FPS = 5.0
SLOW_RECONNECT_S = 4.0
HIGH_BITRATE_KBPS = 8000


def what_to_try(url: str, error: SourceError) -> list[str]:
    """For a camera at `url` that failed with `error`: most likely first."""
    host, port = host_and_port(url)
    kind = "RTSP" if scheme_of(url).startswith("rtsp") else "this way of reading them"
    if isinstance(error, (NoSuchStream, SourceRefused, SourceDamaged)):
        return []  # the error says what there is, or what to change: its host was reached, or is not to be
    if isinstance(error, AuthUnknown):
        return ["the camera's web page says it under Security, Authentication or RTSP authentication"]
    if isinstance(error, CertificateRefused):
        return []  # the error says what to name
    if not scheme_of(url).startswith("rtsp") and isinstance(error, (StreamNotFound, PortClosed)):
        return [f"the camera's web page or manual says the whole address; here it is port {port} of {host}"]
    if isinstance(error, AuthFailed):
        return [
            "give the user name and password of the camera itself, as its own web page takes them",
            f"some cameras want {kind} switched on, or a user of their own for it",
            "many cameras lock a user out after a few attempts: wait some minutes before the next one",
        ]
    if isinstance(error, StreamNotFound):
        return ["the path after the port is the maker's choice; common ones:", *map(_path_line, COMMON_PATHS)]
    if isinstance(error, PortClosed):
        return [
            f"RTSP may be switched off in {host}, or on another port than {port}: 554, else 8554 or 10554",
            "the camera's web page says it under Network, Ports or Integration",
        ]
    return [
        f"is the camera on, and in a network that this box reaches? `ping {host}` tells",
        "is the address still the same? Cameras with DHCP may get another one: reserve it in the router; "
        "`streamer camera discover` tells where ONVIF cameras are",
        f"does a firewall or another VLAN stand between? TCP port {port} must be open",
    ]


def _path_line(paths: CameraPaths) -> str:
    sub = f" (substream {paths.sub})" if paths.sub else ""
    return f"{paths.maker}: {paths.main}{sub}"


def advise(report: ProbeReport, room: Room | None = None) -> list[str]:
    """For a camera that works: what would make it cheaper, quicker to come back, or better to count by.

    `room`: what the box has left for it, where it is to be added and that is known.
    """
    return [*_cost(report, room), *_stream(report)]


def warn_of_full_box(report: ProbeReport, room: Room) -> list[str]:
    """One line where the camera takes the box beyond what it keeps up with; else nothing."""
    info = report.info
    if info is None or not report.frames:
        return []
    fps = report.fps_measured or info.fps
    decode, analysis = report.decode_cpu_ms * fps / 1000, room.analysis(fps)
    after = room.used + decode + analysis
    if after <= room.most:
        return []
    analysed = f"analysing {min(room.analysed_fps, fps):g} of them {analysis:.2f}"
    if room.analysis_ms is None:
        analysed = "analysing them is not measured yet"
    return [
        f"with it the box is at {after:.1f} of {room.cores:g} cores, and keeps up to {room.most:.1f}: "
        f"decoding {info.width}x{info.height} at {fps:.0f} frames a second takes {decode:.2f}, {analysed}; "
        f"{_help(report, fps)}"
    ]


def _help(report: ProbeReport, fps: float) -> str:
    if _is_main_stream(report, fps):
        return _substream(report)
    return (
        "source.gate=auto lets a camera rest before which nothing moves, a lower source.fps looks at it less "
        "often; `streamer capacity` says what takes how much"
    )


def _is_main_stream(report: ProbeReport, fps: float) -> bool:
    return report.info is not None and (report.info.width > SMALL_BOX_WIDTH or fps > SMALL_BOX_FPS)


def _substream(report: ProbeReport) -> str:
    sub = substream_of(report.url)
    where = f" (probably at the path {sub})" if sub else ""
    core = _substream_core(report)
    takes = f", and takes about {core:.2f} of a core" if core else ""
    return f"the camera's substream{where}, about 640x360 at 10 to 15, is enough for counting{takes}"


def _substream_core(report: ProbeReport) -> float:
    """In cores, by what the main stream's pictures take here: decoding costs about as the pixels do. 0: it
    is not known."""
    info = report.info
    if info is None or not report.decode_cpu_ms or info.width * info.height == 0:
        return 0.0
    share = min(1.0, SUBSTREAM_PIXELS / (info.width * info.height))
    fps = min(SMALL_BOX_FPS, report.fps_measured or info.fps or SMALL_BOX_FPS)
    return report.decode_cpu_ms * share * fps / 1000


def _cost(report: ProbeReport, room: Room | None) -> list[str]:
    info = report.info
    if info is None:
        return []
    fps = report.fps_measured or info.fps
    core = report.decode_cpu_ms * fps / 1000
    advice = warn_of_full_box(report, room) if room is not None else []
    if not advice and _is_main_stream(report, fps):
        advice.append(
            f"decoding {info.width}x{info.height} at {fps:.0f} frames a second takes {core:.2f} of a core of "
            f"this box; {_substream(report)}"
        )
    if info.codec == "hevc":
        advice.append("H.265 takes about 1.7 times the CPU of H.264 to decode: where it is scarce, set H.264")
    if info.codec == "mjpeg":
        advice.append("motion JPEG fills the network: where the camera has an H.264 stream, use that")
    if report.bitrate_kbps > HIGH_BITRATE_KBPS:
        advice.append(f"{report.bitrate_kbps / 1000:.0f} Mbit/s is much for the network: 1 to 4 are enough")
    return advice


def _stream(report: ProbeReport) -> list[str]:
    stated = report.info.fps if report.info else 0.0
    fps = report.fps_measured
    advice = []
    if report.keyframe_gap_s > SLOW_RECONNECT_S:
        least = "more than " if report.keyframe_gap_open else ""
        advice.append(
            f"key frames come {least}{report.keyframe_gap_s:.1f} s apart, and a reconnect waits for one: set "
            "the I-frame interval to 1 or 2 s, and switch off H.264+, H.265+ or 'smart codec'"
        )
    if 0 < fps < 0.8 * stated:
        advice.append(
            f"it says {stated:.0f} frames a second and sends {fps:.1f}: low light (slow shutter), or a weak "
            "network"
        )
    if 0 < fps < FEW_FPS:
        advice.append(f"{fps:.1f} frames a second are few to follow people and cars by: 8 to 15 are good")
    return advice
