"""Events in their public form: CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec, v1.0.2).

An event is (node, camera, lineage, seq): `lineage` is the millisecond in which the ledger that holds it was
made, `seq` rises by one per camera. Its place in a Redis stream is `EventId`, whose text is `LINEAGE-SEQ`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from pipelines.events import LINE_CROSSED, ZONE_ENTERED, ZONE_EXITED
from streamer.ipc.messages import EventRecord

NS_PER_S = 1_000_000_000

COUNTS = "streamer.counts.v1"
CAMERA_STATE = "streamer.camera.state.v1"
COUNT_CORRECTED = "streamer.count.corrected.v1"
CLIP = "streamer.clip.v1"
ERASED = "erased"  # the type of what is left of a track when its time is over: a number in the sequence
TRACE = "trace"  # in a track's data: its whole path (pipelines/count/trajectory_codec.py)
COUNTING_TYPES = (LINE_CROSSED, ZONE_ENTERED, ZONE_EXITED)

# Every event's data says which frame and which rules it rests on.
_COMMON_FIELDS = (
    *("camera", "seq", "config_rev", "epoch", "frame_id"),
    *("media_ns", "age_ms", "emitted_ns", "inference_ms", "taken_ms"),
)


class EventId(NamedTuple):
    """Ordered as Redis orders stream ids: by lineage, then by sequence."""

    lineage: int
    seq: int

    def __str__(self) -> str:
        return f"{self.lineage}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Raise ValueError if `text` is not `LINEAGE-SEQ`."""
        lineage, dash, seq = text.partition("-")
        if not dash:
            raise ValueError(f"not an event id: {text!r}")
        return cls(int(lineage), int(seq))


class StoredEvent(NamedTuple):
    """An event as the ledger keeps it and as a sink gets it.

    `body` is the CloudEvent as JSON text. `total_key` names the running total that this event raised to
    `total_value`; both are None for an event that counts nothing.
    """

    camera: str
    id: EventId
    type: str
    body: str
    total_key: str | None
    total_value: int | None


def body(record: EventRecord, node: str, lineage: int) -> str:
    """The CloudEvent of `record` as JSON text; the same record always gives the same text."""
    data: dict[str, Any] = {name: getattr(record, name) for name in _COMMON_FIELDS}
    if record.type == COUNTS and "start_ns" in record.data:
        data["start"] = rfc3339(record.data["start_ns"])
        data["end"] = rfc3339(record.data["end_ns"])
    data.update(record.data)
    data.pop(TRACE, None)  # the ledger keeps it apart, and nobody else is sent it
    event = {
        "specversion": "1.0",
        "id": f"{node}/{record.camera}/{lineage}/{record.seq}",
        "source": f"/streamer/{node}/{record.camera}",
        "type": record.type,
        "time": rfc3339(record.captured_ns),
        "subject": record.subject,
        "datacontenttype": "application/json",
        "dataschema": schema_uri(record.type),
        "data": data,
    }
    if not record.subject:
        del event["subject"]  # the specification wants it absent rather than empty
    return msgspec.json.encode(event).decode()


def record_of(text: str) -> EventRecord:
    """The record that `body` was made from, as far as counting needs it."""
    event = msgspec.json.decode(text)
    data: dict[str, Any] = event["data"]
    common = {name: data[name] for name in _COMMON_FIELDS}
    return EventRecord(
        type=event["type"],
        subject=event.get("subject", ""),
        captured_ns=parse_rfc3339_ns(event["time"]),
        data={name: value for name, value in data.items() if name not in _COMMON_FIELDS},
        **common,
    )


def schema_uri(event_type: str) -> str:
    return f"urn:streamer:schema:{event_type}"


def rfc3339(at_ns: int) -> str:
    """`at_ns` (Unix time) in UTC with all nine decimals, so that nothing is rounded."""
    seconds, rest_ns = divmod(at_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"


def parse_rfc3339_ns(text: str) -> int:
    """The inverse of `rfc3339`. Raise ValueError for anything else."""
    whole, dot, fraction = text.removesuffix("Z").partition(".")
    if not dot or len(fraction) != 9 or not text.endswith("Z"):
        raise ValueError(f"not a time of ours: {text!r}")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * NS_PER_S + int(fraction)


def total_key(event_type: str, data: Mapping[str, Any]) -> str | None:
    """The running total that an event raises by one, or a correction by its amount; or None.

    `line/NAME/DIRECTION/RULE_REV/CLASS` or `zone/NAME/entered|exited/RULE_REV/CLASS`. A moved line has a
    new revision and so starts a new total; the class comes last, since only it is free text.
    """
    rev = data.get("rule_rev", 0)
    kind = data.get("class", "")
    if event_type in (LINE_CROSSED, COUNT_CORRECTED):
        return f"line/{data.get('line')}/{data.get('direction')}/{rev}/{kind}"
    if event_type == ZONE_ENTERED:
        return f"zone/{data.get('zone')}/entered/{rev}/{kind}"
    if event_type == ZONE_EXITED:
        return f"zone/{data.get('zone')}/exited/{rev}/{kind}"
    return None
