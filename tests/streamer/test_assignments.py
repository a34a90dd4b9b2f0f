"""What the workers are told of a camera, from its configuration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamer.config.schema import Config
from streamer.daemon.assignments import infer_assignment


def told(source: dict[str, Any]) -> Any:
    """What an inference worker is told of one camera with that `source`."""
    config = Config.model_validate({"cameras": [{"name": "door", "url": "rtsp://cam/1", "source": source}]})
    active = SimpleNamespace(config=config, rev=1, misconfigured={}, renames=[])
    shared = SimpleNamespace(row=lambda _name: 0, last_reclaim=lambda _name: 0)
    plan, terms = SimpleNamespace(announced_by={}), SimpleNamespace(of=lambda _name: None)
    site: Any = SimpleNamespace(active=active, shared=shared, plan=plan, terms=terms)
    spec: Any = SimpleNamespace(name="infer-0", cameras=("door",))
    (camera,) = infer_assignment(spec, site).cameras
    return camera


@pytest.mark.parametrize(
    ("source", "newest"),
    [
        ({}, True),
        ({"fps": "auto"}, True),
        ({"fps": 0}, True),
        ({"fps": 5}, False),
        ({"realtime": False}, False),
    ],
)
def test_an_old_frame_may_go_for_a_newer_one_but_where_the_rate_is_set(
    source: dict[str, Any], newest: bool
) -> None:
    assert told(source).newest is newest
    assert told(source).auto_rate is (source.get("fps", "auto") == "auto" and newest)
