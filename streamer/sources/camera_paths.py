"""Where cameras keep their streams: the RTSP paths of common makers, main stream and substream.

From the makers' own manuals; firmware differs, so these are suggestions and never tried unasked: a camera
may take repeated attempts for an attack.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CameraPaths:
    maker: str
    main: str
    sub: str  # "" where it has none of its own


COMMON_PATHS = (
    CameraPaths("Hikvision, HiLook, Annke", "/Streaming/Channels/101", "/Streaming/Channels/102"),
    CameraPaths(
        "Dahua, Amcrest, Lorex, Imou",
        "/cam/realmonitor?channel=1&subtype=0",
        "/cam/realmonitor?channel=1&subtype=1",
    ),
    CameraPaths("Axis", "/axis-media/media.amp", "/axis-media/media.amp?resolution=640x360"),
    CameraPaths("Reolink", "/h264Preview_01_main", "/h264Preview_01_sub"),
    CameraPaths("TP-Link Tapo, VIGI", "/stream1", "/stream2"),
    CameraPaths("Uniview", "/unicast/c1/s0/live", "/unicast/c1/s1/live"),
    CameraPaths("Hanwha Wisenet", "/profile2/media.smp", "/profile3/media.smp"),
    CameraPaths("Bosch", "/?inst=1", "/?inst=2"),
    CameraPaths("Vivotek", "/live1s1.sdp", "/live1s2.sdp"),
    CameraPaths("Foscam", "/videoMain", "/videoSub"),
    CameraPaths("Panasonic i-PRO", "/MediaInput/stream_1", "/MediaInput/stream_2"),
    CameraPaths("many others", "/live, /live.sdp, /stream, /h264 or /0", ""),
)


def substream_of(url: str) -> str:
    """The path of the substream beside the main stream that `url` names; "" where it is no known one."""
    return next((paths.sub for paths in COMMON_PATHS if url.endswith(paths.main)), "")
