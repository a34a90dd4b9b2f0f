"""Names of MQTT topics. What in free text (a class) would separate levels is percent-encoded."""

from __future__ import annotations

import re
from urllib.parse import quote

_SPECIAL = re.compile(r"[/+#%\x00-\x1f\x7f]")


def part(text: str) -> str:
    """One level of a topic."""
    return _SPECIAL.sub(lambda match: quote(match[0], safe=""), text)


class Topics:
    """Of one node, below `prefix`."""

    def __init__(self, prefix: str, node: str) -> None:
        self.root = f"{prefix}/{part(node)}"
        self.status = f"{self.root}/status"
        self.events = f"{self.root}/events"
        self.commands = f"{self.root}/+/enabled/set"

    def of(self, camera: str, *levels: str) -> str:
        return "/".join((self.root, part(camera), *(part(level) for level in levels)))

    def total(self, camera: str, key: str) -> str:
        """Of a running total, its key KIND/NAME/DIRECTION/RULE_REV/CLASS: all revisions have one topic."""
        kind, name, direction, _, label = key.split("/", 4)
        return self.of(camera, kind, name, direction, label)

    def commanded(self, topic: str) -> str | None:
        """The camera of a command's topic."""
        inner = topic.removeprefix(f"{self.root}/")
        camera, _, rest = inner.partition("/")
        return camera if inner != topic and rest == "enabled/set" else None
