"""Every event and bucket says in which term it was made, once and for ever; a bucket belongs to one term."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from streamer.events import cloudevents, schemas
from streamer.events.cloudevents import COUNTS
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.messages import EventRecord
from streamer.workers.infer import loader as loading
from tests.infer_rig import InferRig, ScriptedDetector, passers_by

SHOP = {"site": "shop", "term": 3}


@pytest.fixture
def rig(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InferRig]:
    rig = InferRig(short_dir, lambda _model: Pipeline(ScriptedDetector(passers_by)))
    monkeypatch.setattr(loading.PipelineLoader, "_load", lambda _loader, spec: rig.load(spec))
    yield rig
    rig.close()


def run_in(rig: InferRig, term: CameraTerm | None) -> None:
    """The camera goes on in this term."""
    rig.terms = {} if term is None else {"gate": term}
    rig.assign(gate="one")


def told(rig: InferRig, kind: str) -> list[EventRecord]:
    rig.settle()
    return [record for record in rig.records if record.type == kind]


def stamp(record: EventRecord) -> dict[str, Any]:
    return {name: record.data[name] for name in ("site", "term", "unowned") if name in record.data}


def test_events_say_the_term_that_they_were_made_in_and_tracks_go_on_over_a_change(rig: InferRig) -> None:
    run_in(rig, CameraTerm("shop", 3))
    rig.frames("gate", range(5))  # somebody stands before the line ...
    run_in(rig, CameraTerm("shop", 4))
    rig.frames("gate", range(5, 24))
    run_in(rig, CameraTerm("shop", 4, owned=False))
    rig.frames("gate", range(24, 48))
    run_in(rig, None)
    rig.frames("gate", range(48, 60))
    crossings = told(rig, LINE_CROSSED)
    assert [stamp(record) for record in crossings] == [  # ... and crosses it in the next term
        {"site": "shop", "term": 4},
        {"site": "shop", "term": 4},
        {"site": "shop", "term": 4, "unowned": True},
        {"site": "shop", "term": 4, "unowned": True},
        {},
    ]
    assert [record.seq for record in rig.records] == list(range(1, len(rig.records) + 1))


def test_a_bucket_ends_where_the_term_changes_and_the_next_begins_there(rig: InferRig) -> None:
    run_in(rig, None)
    rig.frames("gate", range(12))
    run_in(rig, CameraTerm("shop", 3))
    rig.frames("gate", range(12, 36))
    run_in(rig, CameraTerm("shop", 3, owned=False))
    rig.frames("gate", range(36, 48))
    rig.worker._emitter.close_buckets(rig.worker._cameras["gate"], stopping=True)
    buckets = [r for r in told(rig, COUNTS) if r.data["end_ns"] > r.data["start_ns"]]
    cuts = [n for n, r in enumerate(buckets) if "term_changed" in r.data["flags"]]
    assert [stamp(r) for r in buckets[cuts[0] :]][:3] == [{}, SHOP, {**SHOP, "unowned": True}]
    for before, after in itertools.pairwise(buckets):
        assert before.data["end_ns"] == after.data["start_ns"]
    for bucket in buckets:
        length_s = (bucket.data["end_ns"] - bucket.data["start_ns"]) / 1e9
        assert sum(bucket.data["coverage"].values()) == pytest.approx(length_s, abs=0.01)
        by_class = [c for line in bucket.data["lines"].values() for c in line.values()]
        assert sum(n for c in by_class for n in c.values()) == sum(
            r.seq < bucket.seq and stamp(r) == stamp(bucket) for r in told(rig, LINE_CROSSED)
        )


def test_a_killed_workers_open_bucket_is_told_in_the_term_in_which_it_was_open(rig: InferRig) -> None:
    run_in(rig, CameraTerm("shop", 3))
    rig.frames("gate", range(12))
    rig.settle()
    rig.kill()
    run_in(rig, CameraTerm("shop", 4))
    rig.frames("gate", range(12, 24))
    rig.worker._emitter.close_buckets(rig.worker._cameras["gate"], stopping=True)
    old, new = told(rig, COUNTS)[-2:]
    assert (stamp(old), stamp(new)) == (SHOP, {"site": "shop", "term": 4})
    assert old.data["lines"] == new.data["lines"] == {"door": {"in": {"person": 1}}}
    assert old.data["end_ns"] == new.data["start_ns"]
    assert [stamp(r)["term"] for r in told(rig, LINE_CROSSED)] == [3, 4]


def test_what_was_counted_in_a_term_that_is_over_is_in_no_bucket_of_another(rig: InferRig) -> None:
    run_in(rig, CameraTerm("shop", 3))
    rig.frames("gate", range(12))
    rig.settle()
    rig.kill()
    (rig.shared / "checkpoint-gate").unlink()  # as after a restart of the machine
    run_in(rig, CameraTerm("shop", 4))
    rig.worker._emitter.close_buckets(rig.worker._cameras["gate"], stopping=True)
    (bucket,) = [record for record in told(rig, COUNTS) if stamp(record).get("term") == 4]
    assert bucket.data["lines"] == {}
    assert "term_changed" in bucket.data["flags"]


def test_the_schemas_know_what_an_event_says_of_its_term(rig: InferRig) -> None:
    run_in(rig, CameraTerm("shop", 3, owned=False))
    rig.frames("gate", range(12))
    run_in(rig, None)
    rig.settle()
    kinds = set()
    for record in rig.records:
        event = cloudevents.body(record, "node", 1)
        assert stamp(cloudevents.record_of(event)) == stamp(record)  # as the ledger reads it
        schema = schemas.get(record.type)
        assert {"site", "term", "unowned"} <= schema["properties"].keys()
        assert not {"site", "term", "unowned"} & set(schema["required"])
        jsonschema.validate(json.loads(event)["data"], schema)
        kinds.add(record.type)
    assert {LINE_CROSSED, COUNTS} <= kinds
