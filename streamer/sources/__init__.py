"""Where frames come from: the table of URL schemes, which is the only list of them.

A new kind of source is one module with `create(url, options) -> Source` (base.py) and one line here: the
check of URLs, the probe, `doctor` and the command line all read this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scheme:
    """What is known of a kind of source before its module is imported.

    `create` is "module:callable", imported when the first source of the kind is made. `form` is how its URLs
    look, for people.
    """

    create: str
    form: str
    live: bool = False  # a camera: without an end, and never faster than time
    network: bool = False  # its URL has a host, and a port or `port`, that can be reached before it is opened
    credentials: bool = False  # its URL may hold a user name and a password
    port: int = 0  # of a network scheme, where the URL names none
    udp: bool = False  # of a network scheme: may be read over UDP as well
    ca: str = ""  # of a scheme over TLS: how certificates are checked where nobody says (tls.py)
    local: bool = False  # its URL names a file or folder of this box
    generated: bool = False  # made here, out of its URL alone: no file, no streams to choose from


# A bare path is of the scheme "file".
_CAMERA: dict[str, Any] = {"live": True, "network": True, "credentials": True}
_HTTP = "streamer.sources.http_camera:create"
_RTMP = "streamer.sources.rtmp:create"
SOURCES: dict[str, Scheme] = {
    "rtsp": Scheme("streamer.sources.rtsp:create", "rtsp://HOST/PATH", port=554, udp=True, **_CAMERA),
    "rtsps": Scheme("streamer.sources.rtsp:create", "rtsps://HOST/PATH", port=322, ca="any", **_CAMERA),
    "http": Scheme(_HTTP, "http://HOST/PATH", port=80, **_CAMERA),
    "https": Scheme(_HTTP, "https://HOST/PATH", port=443, ca="system", **_CAMERA),
    "rtmp": Scheme(_RTMP, "rtmp://HOST/APP/NAME", port=1935, **_CAMERA),
    "rtmps": Scheme(
        "streamer.sources.rtmp:create", "rtmps://HOST/APP/NAME", port=443, ca="system", **_CAMERA
    ),
    "v4l2": Scheme("streamer.sources.v4l2:create", "v4l2:/dev/video0", live=True),
    "folder": Scheme("streamer.sources.folder:create", "folder:///PATH", local=True),
    "file": Scheme("streamer.sources.file:create", "a file path, file:///PATH", local=True),
    "synthetic": Scheme("streamer.sources.synthetic:create", "synthetic:NAME", generated=True),
}
