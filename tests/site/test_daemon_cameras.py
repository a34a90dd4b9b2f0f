"""What an agent reads of its daemon's cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamer.api import control_socket as control
from streamer.site.daemon_cameras import DaemonCameras, Told


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"state": "connecting", "term": 3, "owned": True}, Told(3, True)),
        ({"state": "live", "term": 3, "owned": False, "inferred": 7}, Told(3, False, sees=True)),
        (
            {"state": "unreachable", "term": 3, "owned": True},
            Told(3, True, trouble="it is unreachable there: `streamer status` on that box says why"),
        ),
        ({"state": "live"}, Told(None, None)),
    ],
)
def test_a_row_of_its_status(row: dict[str, Any], told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = {"frames": {"inferred": row.pop("inferred", 0)}}
    status = {"node": "n", "cameras": [{"name": "gate", **row, **frames}]}
    monkeypatch.setattr(control, "call", lambda *_: status)
    assert DaemonCameras(Path("/none")).status() == ("n", {"gate": told})
