"""Events in their public form, each checked against the envelope and its type's schema."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from pipelines.alerts.camera_alerts import CameraAlerts
from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.events import LINE_CROSSED
from pipelines.rules import LineSpec, ZoneSpec
from pipelines.values import Event, Labels, Stamp, Tracks
from streamer.errors import ConfigError
from streamer.events import cloudevents, schemas
from streamer.events.cloudevents import EventId
from streamer.events.schemas import reference
from streamer.ipc.counters import Balance
from streamer.ipc.messages import EventRecord
from streamer.workers.infer.coverage import Coverage
from tests.pipelines.journeys.test_site_journeys import Site, look

NOW_NS = 1_795_000_000_123_456_789
LABELS = Labels(("person", "car"), ("person", "vehicle"))
RULES = CameraRules(
    lines=(LineSpec(name="door", points=((0.5, 0.0), (0.5, 1.0)), rev=3),),
    zones=(ZoneSpec(name="hall", points=((0.5, 0.0), (0.9, 0.0), (0.9, 1.0), (0.5, 1.0)), rev=3),),
)
# And one of every other analytic, for the same walk.
EVERY_RULE = CameraRules.model_validate(
    {
        **RULES.model_dump(),
        "zones": [
            *RULES.model_dump()["zones"],
            {"name": "porch", "points": [[0.0, 0.0], [0.4, 0.0], [0.4, 1.0], [0.0, 1.0]]},
        ],
        "dwells": [{"name": "long", "zone": "hall", "after_s": [1.0]}],
        "occupancies": [{"name": "inside", "lines": ["door"], "inward": "right-to-left"}],
        "queues": [{"name": "till", "zone": "hall", "slow_heights_s": 10, "join_s": 0.5, "settle_s": 0}],
        "flows": [{"name": "through", "zones": ["porch", "hall"], "every_s": 10}],
        "calibration": {
            "points": [[0, 0], [1, 0], [1, 1], [0, 1]],
            "metres": [[0, 0], [9, 0], [9, 9], [0, 9]],
        },
        "speeds": [{"name": "pace", "line": "door"}],
        "wrong_ways": [{"name": "against", "line": "door", "allowed": "left-to-right"}],
        "heatmaps": [{"name": "heat", "every_s": 10}],
        "uniques": [{"name": "visitors", "every_s": 10}],
    }
)


ALERTING = CameraRules.model_validate({**RULES.model_dump(), "alerts": [{"name": "crossed", "line": "door"}]})


def validate(text: str) -> dict[str, Any]:
    """Raise jsonschema's error unless `text` is an event as the schemas say."""
    event: dict[str, Any] = json.loads(text)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schemas.envelope(), format_checker=checker).validate(event)
    jsonschema.Draft202012Validator(schemas.get(event["type"]), format_checker=checker).validate(
        event["data"]
    )
    assert event["dataschema"] == schemas.get(event["type"])["$id"]
    return event


def record(event: Event, seq: int = 1) -> EventRecord:
    stamp = event.stamp
    return EventRecord(
        camera=stamp.camera,
        seq=seq,
        type=event.type,
        subject=event.subject,
        epoch=stamp.epoch,
        frame_id=stamp.frame_id,
        media_ns=stamp.media_ns,
        captured_ns=stamp.captured_ns,
        age_ms=12.5,
        config_rev=3,
        data=dict(event.data),
        emitted_ns=NOW_NS,
        inference_ms=40.25,
    )


def walk(rules: CameraRules = RULES) -> list[Event]:
    """What the analytics say of a person who walks over the line, through the zone and away."""
    analytics = CameraCounts(rules, LABELS)
    events: list[Event] = []
    for n in range(160):
        left = 0.1 + 0.01 * min(n, 88)
        box = np.array([[left - 0.02, 0.3, left + 0.02, 0.6]], np.float32)
        tracks = Tracks(
            np.array([7], np.int64),
            box,
            np.array([0.9], np.float32),
            np.array([0], np.int32),
            np.array([True]),
            np.full((1, 2), 0.001, np.float32),
        )
        t = n * 40_000_000
        stamp = Stamp("gate", 1, n, t, NOW_NS + t, t)
        events += analytics.update(stamp, tracks if n < 100 else Tracks.empty())
    for n in range(160, 1200):
        t = n * 40_000_000
        events += analytics.update(Stamp("gate", 1, n, t, NOW_NS + t, t), Tracks.empty())
    return events


def closed_bucket(events: list[Event]) -> Event:
    coverage = Coverage(1, NOW_NS, Balance(0, 0, 0, {}, 0))
    for event in events:
        coverage.add_event(event)
    for n in range(100):
        coverage.frame_inferred(NOW_NS + n * 40_000_000, 5.0, 0)
    end_ns, data = coverage.close_due(NOW_NS + 4_000_000_000, Balance(100, 100, 0, {"busy": 3}, 0))[0]
    return Event(cloudevents.COUNTS, Stamp("gate", 1, -1, 0, end_ns, 0, "arrival"), "gate", data)


def state(name: str) -> Event:
    data = {"state": name, "detail": "no answer", "width": 1280, "height": 720, "fps": 25.0, "codec": "h264"}
    return Event("streamer.camera.state.v1", Stamp("gate", 1, -1, 0, NOW_NS, 0, "arrival"), "gate", data)


def fall() -> Event:
    """As pipelines/actions/engine.py makes it; test_actions_of_cameras.py has one of a running daemon."""
    data = {
        "action": "fall",
        "head": "action",
        "probability": 0.93,
        "start_media_ns": 1_000_000_000,
        "end_media_ns": 2_000_000_000,
        "start_captured_ns": NOW_NS - 1_000_000_000,
        "box_xyxyn": [0.1, 0.2, 0.3, 0.4],
        "attention": [{"media_ns": 1_000_000_000, "weight": 0.4}, {"media_ns": 2_000_000_000, "weight": 0.6}],
        "model_sha256": "a" * 64,
        "track_id": 7,
        "class": "person",
        "group": "person",
    }
    return Event("streamer.action.detected.v1", Stamp("gate", 1, 50, 2_000_000_000, NOW_NS, 1), "fall", data)


def scene() -> Event:
    """As pipelines/scene/tracker.py makes it."""
    data = {
        "scene": "crowd",
        "head": "scene",
        "previous": "unknown",
        "probability": 0.91,
        "start_media_ns": 1_000_000_000,
        "start_captured_ns": NOW_NS - 1_000_000_000,
        "model_sha256": "a" * 64,
    }
    return Event("streamer.scene.changed.v1", Stamp("gate", 1, 50, 2_000_000_000, NOW_NS, 1), "scene", data)


def journey() -> Event:
    """As pipelines/journeys makes it of two visits."""
    site, who = Site(), look()
    site.visit("gate", who)
    return site.visit("yard", who)[0]


def corrected() -> Event:
    """As daemon/corrections.py makes its data; test_corrections.py has one of a running daemon."""
    data = {"line": "door", "direction": "right-to-left", "class": "person", "rule_rev": 3, "amount": -2}
    data |= {"at_ns": NOW_NS - 60_000_000_000, "reason": "a mirror", "by": "anna", "uid": 1000}
    return Event(cloudevents.COUNT_CORRECTED, Stamp("gate", 1, -1, 0, NOW_NS, 0, "arrival"), "door", data)


def clip() -> Event:
    """As workers/clips makes its data; test_clips.py has one of a running daemon."""
    data = {"clip": "gate-5-7", "event": "node-1/gate/5/7", "path": "/clips/gate-5-7.mp4", "sha256": "0" * 64}
    data |= {
        "from_ns": NOW_NS,
        "to_ns": NOW_NS + 1,
        "bytes": 1,
        "people": "show",
        "codec": "h264",
        "note": "",
    }
    stamp = Stamp("gate", 1, -1, 0, NOW_NS, 0, "arrival")
    return Event(cloudevents.CLIP, stamp, "node-1/gate/5/7", data)


def alert(events: list[Event]) -> list[Event]:
    """As pipelines/alerts makes it of these."""
    alerts = CameraAlerts(ALERTING, None)
    return alerts.on_frame(Stamp("gate", 1, 50, 2_000_000_000, NOW_NS, 1), set(), events, 1)


def test_every_type_that_the_analytics_make_fits_its_schema() -> None:
    walked = walk(EVERY_RULE)
    events = [*walked, closed_bucket(walked), state("live"), fall(), scene(), journey(), corrected()]
    events += [clip(), *alert(walked)]
    bodies = [cloudevents.body(record(e, n + 1), "node-1", 5) for n, e in enumerate(events)]
    seen = {validate(body)["type"] for body in bodies}
    assert seen == set(schemas.names())  # no schema is without an event, and no event without a schema


def test_an_event_says_what_it_is_and_where_it_belongs() -> None:
    crossed = next(e for e in walk() if e.type == LINE_CROSSED)
    event = validate(cloudevents.body(record(crossed, 41), "node-1", 1_795_000_000_000))
    assert event["id"] == "node-1/gate/1795000000000/41"
    assert event["source"] == "/streamer/node-1/gate"
    assert event["subject"] == "door"
    assert (event["data"]["camera"], event["data"]["seq"], event["data"]["config_rev"]) == ("gate", 41, 3)
    assert event["data"]["direction"] == "right-to-left"  # walking down the line, the left is on the right
    assert cloudevents.parse_rfc3339_ns(event["time"]) == crossed.stamp.captured_ns


def test_a_schema_refuses_what_is_missing_or_of_another_type() -> None:
    text = cloudevents.body(record(state("live")), "node-1", 5)
    for broken in (text.replace('"state":"live"', '"state":"asleep"'), text.replace('"seq":1', '"seq":"1"')):
        assert broken != text
        with pytest.raises(jsonschema.ValidationError):
            validate(broken)


def test_a_counting_event_can_be_read_back() -> None:
    crossed = record(next(e for e in walk() if e.type == LINE_CROSSED), 41)
    assert cloudevents.record_of(cloudevents.body(crossed, "node-1", 5)) == crossed


@pytest.mark.parametrize("at_ns", [0, 999_999_999, NOW_NS, -1, 4_102_444_800_000_000_001])
def test_times_lose_no_nanosecond(at_ns: int) -> None:
    text = cloudevents.rfc3339(at_ns)
    assert cloudevents.parse_rfc3339_ns(text) == at_ns
    assert datetime.fromisoformat(text).timestamp() == pytest.approx(at_ns / 1e9, abs=1e-5)


def test_places_are_ordered_as_redis_orders_them() -> None:
    assert EventId(5, 10) > EventId(5, 9)
    assert EventId(6, 1) > EventId(5, 10)
    assert EventId.parse(str(EventId(5, 10))) == EventId(5, 10)
    with pytest.raises(ValueError, match="not an event id"):
        EventId.parse("12")


def test_an_unknown_type_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"streamer\.line\.crossed\.v1"):
        schemas.get("../../etc/passwd")


@pytest.mark.parametrize("name", [*schemas.names(), None])
def test_every_schema_is_a_schema(name: str | None) -> None:
    schema = schemas.get(name) if name else schemas.envelope()
    jsonschema.Draft202012Validator.check_schema(schema)
    for meaning in schema["properties"].values():
        assert meaning["description"]


def test_the_reference_page_is_what_the_schemas_say(repo: Path) -> None:
    page = (repo / "docs/reference/events.md").read_text()
    assert page == reference.text(), (
        "run: python -m streamer.events.schemas.reference > docs/reference/events.md"
    )
