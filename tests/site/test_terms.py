"""Terms in a real Redis: each is taken once, in the order of their begins, by one server and by a Cluster."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from streamer.errors import RedisError
from streamer.ipc.redis_keys import terms_key
from streamer.sinks.redis_connection import connect
from streamer.site.site_redis import SiteRedis
from streamer.site.terms import Term, cameras_of, next_term, say_open, terms_of

pytestmark = pytest.mark.integration

NOW_NS = 1_800_000_000_123_456_789  # a double does not hold its last digits


def test_terms_rise_by_one_a_camera_and_say_who_owns_it_from_when_on(redis: Any) -> None:
    assert next_term(redis, "shop", "door", "node-a", NOW_NS, name="till") == 1
    assert next_term(redis, "shop", "door", "node-b", NOW_NS + 1) == 2
    assert next_term(redis, "shop", "gate", "node-b", NOW_NS) == 1
    assert terms_of(redis, "shop", "door") == [
        Term(1, "node-a", "till", NOW_NS),
        Term(2, "node-b", "", NOW_NS + 1),
    ]
    assert cameras_of(redis, "shop") == ["door", "gate"]
    assert cameras_of(redis, "other") == terms_of(redis, "other", "door") == []


def test_the_tenth_term_follows_the_ninth(redis: Any) -> None:
    assert [next_term(redis, "shop", "door", "a", NOW_NS + n) for n in range(12)] == list(range(1, 13))
    assert [term.from_ns - NOW_NS for term in terms_of(redis, "shop", "door")] == list(range(12))


@pytest.mark.parametrize("late_ns", [NOW_NS - 1, 0, 999])
def test_a_box_whose_clock_is_behind_begins_with_the_term_before_it(redis: Any, late_ns: int) -> None:
    next_term(redis, "shop", "door", "node-a", NOW_NS)
    assert next_term(redis, "shop", "door", "node-b", late_ns) == 2
    assert [term.from_ns for term in terms_of(redis, "shop", "door")] == [NOW_NS, NOW_NS]


def test_a_redis_that_lost_its_terms_goes_on_above_what_is_known_to_be_taken(redis: Any) -> None:
    assert next_term(redis, "shop", "door", "node-a", NOW_NS, above=7) == 8
    assert next_term(redis, "shop", "door", "node-a", NOW_NS, above=3) == 9


def test_a_box_says_when_it_sees_the_camera_and_the_next_term_begins_no_earlier(redis: Any) -> None:
    next_term(redis, "shop", "door", "node-a", NOW_NS)
    assert next_term(redis, "shop", "door", "node-b", NOW_NS + 5, name="till", opening=True) == 2
    assert terms_of(redis, "shop", "door")[1] == Term(2, "node-b", "till", NOW_NS + 5, 0)
    say_open(redis, "shop", "door", 2, NOW_NS + 9)
    assert terms_of(redis, "shop", "door")[1] == Term(2, "node-b", "till", NOW_NS + 5, NOW_NS + 9)
    assert next_term(redis, "shop", "door", "node-a", NOW_NS + 3) == 3
    assert terms_of(redis, "shop", "door")[2].from_ns == NOW_NS + 5
    say_open(redis, "shop", "door", 7, NOW_NS + 9)
    assert len(terms_of(redis, "shop", "door")) == 3, "of a term that nobody took there is nothing to say"


def test_boxes_that_ask_at_once_get_a_term_each(url: str, redis: Any) -> None:
    taken: list[int] = []

    def ask(node: str) -> None:
        client = connect(url)
        taken.extend(next_term(client, "shop", "door", node, NOW_NS + n) for n in range(50))
        client.close()

    threads = [threading.Thread(target=ask, args=(f"node-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 201))
    begins = [term.from_ns for term in terms_of(redis, "shop", "door")]
    assert begins == sorted(begins)


def test_what_is_no_term_is_named_with_its_key(redis: Any) -> None:
    redis.hset(terms_key("shop", "door"), "1", "nonsense")
    with pytest.raises(RedisError, match=r"streamer:\{shop/door\}:terms"):
        terms_of(redis, "shop", "door")
    with pytest.raises(RedisError, match="Redis refuses"):
        next_term(redis, "shop", "door", "node-a", NOW_NS)


def test_a_redis_that_is_away_takes_no_term() -> None:
    with pytest.raises(RedisError, match="not reached"):
        next_term(connect("redis://127.0.0.1:1/0"), "shop", "door", "node-a", NOW_NS)


def test_redis_says_what_time_it_has(url: str) -> None:
    assert abs(SiteRedis(url, "shop").clock_ns() - time.time_ns()) < 3600 * 10**9
