"""What the agent knows of the cameras that it has added to its daemon, kept over its restarts.

A camera of the daemon that is not in here is the box's own, and is never touched.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from streamer.errors import StorageError
from streamer.ipc.atomic_write import write_atomically

FILE_NAME = "site-agent.json"
CONFIGURATION_FILE = "site-cameras.json"


@dataclass(frozen=True, slots=True)
class Held:
    """`term` is this box's own, from `from_ns` on, taken for the placing `placing`; `revision` is that of the
    camera as it is in the daemon, 0 before it is there. `seen`: the site knows that this box sees it."""

    term: int
    from_ns: int
    placing: str
    owned: bool = True
    revision: int = 0
    seen: bool = True


class AgentMemory:
    """Written before what it says is done, so that a camera is never the box's by mistake."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError for a file that cannot be read: which cameras are the site's is not guessed."""
        self._path = path
        self._held = self._read()

    def __getitem__(self, camera: str) -> Held:
        return self._held[camera]

    def get(self, camera: str) -> Held | None:
        return self._held.get(camera)

    def cameras(self) -> list[str]:
        return sorted(self._held)

    def set(self, camera: str, held: Held) -> None:
        self._write({**self._held, camera: held})

    def change(self, camera: str, **values: Any) -> None:
        self.set(camera, replace(self._held[camera], **values))

    def forget(self, camera: str) -> None:
        self._write({name: held for name, held in self._held.items() if name != camera})

    def _write(self, held: dict[str, Held]) -> None:
        write_atomically(self._path, json.dumps({name: asdict(h) for name, h in held.items()}), 0o640)
        self._held = held

    def _read(self) -> dict[str, Held]:
        try:
            return {name: Held(**values) for name, values in json.loads(self._path.read_text()).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{self._path}: cannot be read ({error}): move it away, and remove the site's cameras with "
                "`streamer camera remove` where they are not this box's"
            ) from error
