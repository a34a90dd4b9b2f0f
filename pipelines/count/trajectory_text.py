"""From a trajectory's text to its bytes and no further: what the ledger keeps needs no numpy to be kept.
trajectory_codec.py reads the bytes."""

from __future__ import annotations

import base64
import binascii


class TrajectoryError(ValueError):
    """Raised when text is not a trajectory of this version."""


def unpack(text: str) -> bytes:
    """The bytes that a ledger keeps of a trajectory's text. Raises TrajectoryError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrajectoryError(f"not a track's path: {error}") from error
