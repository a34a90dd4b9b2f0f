"""Several sinks at once: each gets every event in order, and one that is down holds up none of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.ipc.messages import SinkAssignment
from tests.faults.delivery_rig import Rig, redis_at

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001 - it runs one
    """Redis, which runs, and a second one, which does not yet."""
    rig = Rig(short_dir)
    rig.sinks = (*rig.sinks, redis_at(f"unix://{short_dir}/second.sock", "second"))
    rig.start_redis()
    rig.start_delivery()
    rig.resume()
    yield rig
    rig.close()


def sink(rig: Rig, name: str) -> dict[str, Any]:
    found: dict[str, Any] = rig.status.get("sinks", {}).get(name, {})
    return found


def lag(rig: Rig) -> dict[str, int]:
    sinks = rig.status.get("ledger", {}).get("sinks", {})
    return {name: found["undelivered"] for name, found in sinks.items()}


def test_a_sink_that_is_down_holds_up_no_other_and_is_filled_when_it_is_back(rig: Rig) -> None:
    for _ in range(40):
        rig.count("gate", 3)
    rig.settle()
    rig.until(lambda: lag(rig) == {"redis": 0, "second": 120})
    assert (sink(rig, "redis")["state"], sink(rig, "second")["state"]) == ("up", "down")
    assert rig.status["ledger"]["undelivered"] == 120
    # The second one is where the first is: what it lacks it finds there already, and is at once up to date.
    rig.sinks = (rig.sinks[0], redis_at(rig.redis_url, "second"))
    rig.tell(rig.assignment(rev=2))
    rig.until(lambda: lag(rig) == {"redis": 0, "second": 0})
    rig.count("gate", 5)
    rig.settle()
    rig.assert_each_once()  # two writers of one stream: Redis refuses what it has


def test_a_sink_that_is_removed_keeps_no_event_back(rig: Rig) -> None:
    rig.count("gate", 10)
    rig.settle()
    rig.until(lambda: lag(rig) == {"redis": 0, "second": 10})
    written = sink(rig, "redis")["written"]
    rig.sinks = rig.sinks[:1]
    rig.tell(rig.assignment(rev=2))
    rig.until(lambda: lag(rig) == {"redis": 0})
    rig.until(lambda: rig.status["ledger"]["undelivered"] == 0)
    assert list(rig.status["sinks"]) == ["redis"]
    assert sink(rig, "redis")["written"] == written, "the other one's thread was not touched"


def test_a_sink_that_cannot_be_opened_is_told_and_the_others_go_on(rig: Rig) -> None:
    first = rig.sinks[0]
    rig.sinks = (
        first,
        redis_at("http://nowhere", "odd"),
        SinkAssignment("ghost", "of-a-newer-version", "{}", ""),
    )
    rig.tell(rig.assignment(rev=2))
    rig.count("gate", 10)
    rig.settle()
    rig.until(lambda: sink(rig, "odd").get("state") == "refused")
    assert "not understood" in sink(rig, "odd")["last_error"]
    assert "no kind of sink" in sink(rig, "of-a-newer-version")["last_error"]
    rig.until(lambda: lag(rig) == {"redis": 0, "odd": 10, "of-a-newer-version": 10})
