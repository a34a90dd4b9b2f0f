"""Decoding by a device of this box, where this build of FFmpeg and the box itself have one.

Whether a device can be had is found out by opening it. Where it cannot, the processor decodes, and the
source says so (`SourceInfo.note`): a setting that has no effect is no secret.
"""

from __future__ import annotations

from functools import cache
from typing import get_args

from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available

from streamer.ipc.choices import Decode
from streamer.sources.packets import FFMPEG_ERRORS

DEVICES: tuple[str, ...] = tuple(each for each in get_args(Decode) if each not in ("none", "auto"))
_ANY_CODEC = "h264"  # which all of them decode


@cache
def why_not(device: str) -> str:
    """Why `device` cannot be had here, in one line; empty where it can. A driver that is broken may end the
    process: `doctor` asks in one of its own."""
    if device not in hwdevices_available():
        return "this build of FFmpeg does not have it"
    try:
        HWAccel(device, allow_software_fallback=False).create(Codec(_ANY_CODEC, "r"))
    except NotImplementedError:
        return f"this build of FFmpeg decodes no {_ANY_CODEC} by it"
    except (*FFMPEG_ERRORS, RuntimeError) as error:
        return f"no such device can be opened ({getattr(error, 'strerror', None) or type(error).__name__})"
    return ""


def chosen(decode: Decode) -> str:
    """The device that is to decode; empty: the processor."""
    wanted = DEVICES if decode == "auto" else (decode,) if decode in DEVICES else ()
    return next((device for device in wanted if not why_not(device)), "")


def accelerator(decode: Decode) -> HWAccel | None:
    """For an open; a stream that the device does not decode is decoded by the processor."""
    device = chosen(decode)
    return HWAccel(device, allow_software_fallback=True) if device else None


def note(decode: Decode, used: bool) -> str:
    """One line where what was asked for is not what decodes."""
    if used or decode == "none":
        return ""
    if decode == "auto":
        return "decoded by the processor: no device can" if not chosen(decode) else _not_this_stream(decode)
    reason = why_not(decode)
    if not reason:
        return _not_this_stream(decode)
    return f"decoded by the processor: {decode}: {reason}; `streamer doctor` says what this box can"


def _not_this_stream(decode: Decode) -> str:
    return f"decoded by the processor: {chosen(decode)} does not decode this stream"
