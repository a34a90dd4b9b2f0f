"""Each event of a site's camera goes to the keys of its own term, once, whatever restarts and is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.redis_keys import (
    events_key,
    state_key,
    term_events_key,
    term_state_key,
    term_totals_key,
    terms_key,
    totals_key,
)
from streamer.sinks.base import Behind
from streamer.sinks.redis import RedisSettings, RedisSink
from streamer.site.terms import Term, cameras_of, next_term, terms_of

pytestmark = pytest.mark.integration

LINEAGE = 1_700_000_000_000
KEY = "line/door/in/1/person"


def sink_at(url: str, *terms: int, max_events: int = 1000) -> RedisSink:
    """A new one, as after a restart of delivery; `terms` are those of camera gate on this box."""
    settings = RedisSettings.model_construct(kind="redis", name="redis", stream_max_len=max_events)
    sink = RedisSink(settings, "n", url)
    sink.know_terms({"gate": [CameraTerm("shop", term, True, 1000 * term) for term in terms]})
    return sink


def event(seq: int, term: int) -> StoredEvent:
    data = {"seq": seq, **({"site": "shop", "term": term} if term else {})}
    body = json.dumps({"data": data}, separators=(",", ":"))
    return StoredEvent("gate", EventId(LINEAGE, seq), "streamer.line.crossed.v1", body, KEY, seq)


# Six of the box alone, then three in each of the terms 3, 5 and 6.
ALL = [event(n + 1, term) for n, term in enumerate([0] * 6 + [3] * 3 + [5] * 3 + [6] * 3)]
PLACES = {
    events_key("n", "gate"): range(1, 7),
    term_events_key("shop", "gate", 3): range(7, 10),
    term_events_key("shop", "gate", 5): range(10, 13),
    term_events_key("shop", "gate", 6): range(13, 16),
}


def held(redis: Any) -> dict[str, list[int]]:
    """By stream, the numbers of its events."""
    return {
        key: [int(entry_id.decode().split("-")[1]) for entry_id, _ in redis.xrange(key)] for key in PLACES
    }


def everything() -> dict[str, list[int]]:
    return {key: list(numbers) for key, numbers in PLACES.items()}


def totals(redis: Any, key: str) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in redis.hgetall(key).items()}


@pytest.mark.parametrize("step", [1, 2, 4, 15])
def test_events_go_to_the_keys_of_the_term_that_they_were_made_in(url: str, redis: Any, step: int) -> None:
    sink, at = sink_at(url), None
    assert sink.positions(["gate"]) == {"gate": None}
    for n in range(0, len(ALL), step):
        at = sink.write("gate", at, ALL[n : n + step])
        assert at == sink.positions(["gate"])["gate"] == ALL[min(n + step, len(ALL)) - 1].id
    assert held(redis) == everything()
    sink.close()


def test_totals_go_on_over_terms_and_say_up_to_which_event_they_are(url: str, redis: Any) -> None:
    sink = sink_at(url)
    sink.positions(["gate"])
    sink.replace_totals("gate", {"zone/yard/entered/1/car": 7}, None)
    sink.write("gate", None, ALL[:8])
    first = totals(redis, term_totals_key("shop", "gate", 3))
    assert first == {"zone/yard/entered/1/car": 7, KEY: 8, "lineage": LINEAGE, "seq": 8}
    sink.write("gate", ALL[7].id, ALL[8:11])
    assert totals(redis, term_totals_key("shop", "gate", 5)) == {**first, KEY: 11, "seq": 11}
    assert totals(redis, totals_key("n", "gate"))["seq"] == 6
    sink.close()


@pytest.mark.parametrize("told", [(), (3,), (3, 5, 6)])
def test_a_restart_goes_on_where_the_newest_stream_ends_and_writes_nothing_twice(
    url: str, redis: Any, told: tuple[int, ...]
) -> None:
    first = sink_at(url)
    first.write("gate", None, ALL[:11])
    first.close()
    again = sink_at(url, *told)
    at = again.positions(["gate"])["gate"]
    assert at == ALL[{0: 6, 1: 9, 3: 11}[len(told)] - 1].id  # what it knows of; the rest is refused as known
    rest = [e for e in ALL if at is None or e.id > at]
    assert again.write("gate", at, rest) == ALL[-1].id
    assert held(redis) == everything()
    again.close()


@pytest.mark.parametrize("lost", [1, 2, 4])
def test_what_was_lost_is_noticed_and_sent_again_with_the_same_ids(url: str, redis: Any, lost: int) -> None:
    sink = sink_at(url, 3, 5, 6)
    at = sink.write("gate", None, ALL[:14])
    for key in list(PLACES)[-lost:]:
        redis.delete(key)
    with pytest.raises(Behind):
        sink.write("gate", at, ALL[14:])
    left = sink.positions(["gate"])["gate"]
    ends = [max(numbers) for key, numbers in held(redis).items() if numbers]
    assert left == (EventId(LINEAGE, max(ends)) if ends else None)
    sink.replace_totals("gate", {KEY: left.seq} if left else {}, left)
    sink.write("gate", left, [e for e in ALL if left is None or e.id > left])
    assert held(redis) == everything()
    assert totals(redis, term_totals_key("shop", "gate", 6))[KEY] == 15
    sink.close()


def test_a_lost_end_of_the_term_before_is_noticed_when_a_new_one_begins(url: str, redis: Any) -> None:
    sink = sink_at(url, 3, 5)
    at = sink.write("gate", None, ALL[:12])
    redis.delete(term_events_key("shop", "gate", 5))
    with pytest.raises(Behind) as caught:
        sink.write("gate", at, ALL[12:])
    assert caught.value.at == ALL[8].id
    sink.close()


def test_sending_again_from_the_beginning_fills_a_term_that_is_over_and_repeats_none(
    url: str, redis: Any
) -> None:
    sink = sink_at(url, 3, 5, 6)
    at = sink.write("gate", None, ALL)
    redis.delete(term_events_key("shop", "gate", 3))
    for n in range(0, len(ALL), 4):
        assert sink.write("gate", at, ALL[n : n + 4]) == at  # as a replay does
    assert held(redis) == everything()
    assert totals(redis, term_totals_key("shop", "gate", 6))[KEY] == 15
    sink.close()


def test_states_lie_with_their_term_and_a_lost_term_is_named_again(url: str, redis: Any) -> None:
    sink = sink_at(url, 3, 5)
    next_term(redis, "shop", "gate", "n", 3000, name="till", above=2)
    sink.publish({"gate": {"state": "live", "site": "shop", "term": "3"}, "yard": {"state": "live"}})
    sink.publish({"gate": {"state": "live", "site": "shop", "term": "5"}})
    assert not redis.exists(term_state_key("shop", "gate", 3))
    assert redis.hgetall(term_state_key("shop", "gate", 5))[b"state"] == b"live"
    where = json.loads(redis.hget("streamer:cameras", "n/gate"))
    assert (where["events"], where["site"], where["term"]) == (
        term_events_key("shop", "gate", 5),
        "shop",
        5,
    )
    assert json.loads(redis.hget("streamer:cameras", "n/yard"))["state"] == state_key("n", "yard")
    assert terms_of(redis, "shop", "gate") == [Term(3, "n", "till", 3000), Term(5, "n", "", 5000)]
    assert cameras_of(redis, "shop") == ["gate"]
    assert sink.cameras() == {"gate", "yard"}
    sink.retire({"gate": {"state": "removed"}})
    assert redis.hgetall(term_state_key("shop", "gate", 5)) == {b"state": b"removed"}
    sink.write("gate", None, ALL)
    sink.forget(["gate"])
    assert not any(held(redis).values())
    assert redis.exists(terms_key("shop", "gate"))  # of all boxes, not of this one
    sink.close()


def test_of_terms_that_are_over_as_much_is_kept_as_one_may_hold(url: str, redis: Any) -> None:
    sink, at = sink_at(url, 3, 5, 6, max_events=4), None
    for one in ALL:
        at = sink.write("gate", at, [one])
    kept = held(redis)
    assert kept[events_key("n", "gate")] == []  # the two newest terms before hold six
    assert [len(numbers) for numbers in kept.values()][1:] == [3, 3, 3]
    sink.close()


def test_a_term_that_the_box_remembers_no_more_goes_from_redis(url: str, redis: Any) -> None:
    sink = sink_at(url, 3, 5)
    at = sink.write("gate", None, ALL[:12])
    sink.know_terms({"gate": [CameraTerm("shop", term) for term in (5, 6)]})
    sink.write("gate", at, ALL[12:])
    assert held(redis) == {**everything(), term_events_key("shop", "gate", 3): []}
    sink.close()
