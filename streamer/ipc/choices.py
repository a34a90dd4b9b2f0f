"""What is chosen or told by one word, in the configuration, in messages and in status."""

from __future__ import annotations

from typing import Literal

Transport = Literal["auto", "tcp", "udp"]  # how a camera sends its packets
Decode = Literal["none", "auto", "cuda", "qsv", "vaapi"]  # the device that decodes; none: the processor
Frames = Literal["all", "key"]  # which of a stream's pictures are decoded
TraceSample = float | Literal["1/s"]  # which frames are traced: a share of them, or one a second and camera
# fmt: off
CameraState = Literal[
    "connecting", "live", "auth_failed", "unreachable", "stalled", "no_storage", "ended", "disabled",
    "misconfigured"]
# fmt: on
