"""What every message between processes is: a frozen struct that says its own name."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, tag=True, tag_field="_", array_like=True):
    pass
