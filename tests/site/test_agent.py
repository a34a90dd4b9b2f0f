"""What a box's agent does with its daemon's cameras when they are placed, moved, lost and found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.errors import StorageError
from streamer.site.cluster import Table
from streamer.site.daemon_cameras import Told
from tests.site.boxes import HandBox, HandCluster, HandRedis, box, placed, table, waiting

A, B = box("a"), box("b")


@pytest.fixture
def redis() -> HandRedis:
    redis = HandRedis()
    redis.configure("gate", "yard")
    return redis


@pytest.fixture
def cluster() -> HandCluster:
    return HandCluster(table([A, B], placed("gate", "a")))


@pytest.fixture
def a(tmp_path: Path, redis: HandRedis, cluster: HandCluster) -> HandBox:
    return HandBox("a", tmp_path, redis, cluster)


@pytest.fixture
def b(tmp_path: Path, redis: HandRedis, cluster: HandCluster) -> HandBox:
    return HandBox("b", tmp_path, redis, cluster)


@pytest.fixture
def opening(a: HandBox, b: HandBox, cluster: HandCluster) -> HandBox:
    """b, which has taken the camera over from a, and does not see it yet."""
    a.step()
    cluster.now = table([A, B], placed("gate", "b", number=2))
    b.daemon.sees = False
    b.step()
    return b


def test_a_placed_camera_has_its_term_before_its_daemon_has_it(a: HandBox, redis: HandRedis) -> None:
    a.step()
    assert a.daemon.said == [("term", "gate", 1, True), ("put", "gate")]
    assert redis.terms["gate"][0].node == "node-of-a"


def test_a_camera_that_stays_is_left_alone(a: HandBox) -> None:
    a.step()
    a.daemon.said.clear()
    a.step(30)
    assert a.daemon.said == []


def test_a_box_keeps_a_camera_until_the_next_one_has_taken_its_term(
    a: HandBox, b: HandBox, cluster: HandCluster
) -> None:
    a.step()
    cluster.now = table([A, B], placed("gate", "b", number=2))
    a.step(10)
    assert a.cameras == {"gate": Told(1, True)}, "nobody else has taken it"
    b.daemon.sees = False
    b.step(4)
    assert b.cameras == {"gate": Told(2, True)}
    a.step(4)
    assert a.cameras == {"gate": Told(1, True)}, "the other box does not see it yet"
    b.daemon.sees = True
    b.step()
    a.step()
    assert a.cameras == {"gate": Told(1, True)}, "what crossed until then is not decided"
    a.step()
    assert a.cameras == {}


def test_a_camera_is_the_next_box_s_from_the_last_moment_on_at_which_that_did_not_see_it(
    opening: HandBox, redis: HandRedis
) -> None:
    opening.step(2)
    asked_ns = opening.clock.wall_ns()
    assert redis.terms["gate"][-1].seen_ns == 0
    opening.daemon.sees = True
    opening.step()
    assert redis.terms["gate"][-1].seen_ns == asked_ns
    opening.step(30)
    assert redis.terms["gate"][-1].seen_ns == asked_ns, "it is said once"


@pytest.mark.usefixtures("opening")
def test_a_camera_that_the_next_box_cannot_open_is_given_up_so_that_it_can(a: HandBox) -> None:
    a.step(10)
    assert a.cameras == {"gate": Told(1, True)}
    a.step(2)
    assert a.cameras == {}


def test_a_restarted_agent_says_that_its_box_sees_a_camera_from_the_begin_of_the_term(
    a: HandBox, redis: HandRedis
) -> None:
    a.daemon.sees = False
    a.step(3)
    a.start()
    a.daemon.sees = True
    a.step()
    (term,) = redis.terms["gate"]
    assert term.seen_ns == term.from_ns


@pytest.mark.usefixtures("opening")
def test_a_box_that_has_the_camera_open_when_it_takes_the_term_says_nothing_more(
    a: HandBox, cluster: HandCluster, redis: HandRedis
) -> None:
    cluster.now = table([A, B], placed("gate", "a", number=3))
    a.step()
    assert a.cameras == {"gate": Told(3, True)}
    assert redis.terms["gate"][-1].seen_ns is None


def test_a_camera_that_waits_for_room_goes_on_where_it_was(a: HandBox, cluster: HandCluster) -> None:
    a.step()
    cluster.now = table([A, B], waiting("gate"))
    a.step(20)
    assert a.cameras == {"gate": Told(1, True)}


def test_a_box_that_is_cut_off_marks_its_cameras_and_unmarks_them_when_they_are_still_its_own(
    a: HandBox, cluster: HandCluster
) -> None:
    a.step()
    before, cluster.now = cluster.now, None
    a.step(4)
    assert a.cameras == {"gate": Told(1, True)}, "not for so short a time"
    a.step(3)
    assert a.cameras == {"gate": Told(1, False)}
    cluster.now = before
    a.step()
    assert a.cameras == {"gate": Told(1, True)}


def test_a_box_that_comes_back_gives_up_what_another_has_taken(
    a: HandBox, b: HandBox, cluster: HandCluster
) -> None:
    a.step()
    b.cluster = HandCluster(table([B], placed("gate", "b")))
    cut_off, cluster.now = cluster, None
    a.step(10)
    b_cluster = HandCluster(table([B], placed("gate", "b")))
    b.agent._cluster = b_cluster  # the head's side of the cut
    b.step()
    cut_off.now = b_cluster.now
    a.redis.away = False
    b.step()
    a.step(2)
    assert (a.cameras, b.cameras) == ({}, {"gate": Told(2, True)})


def test_a_box_that_is_cut_off_from_the_site_s_redis_too_counts_on_marked(
    a: HandBox, cluster: HandCluster, redis: HandRedis
) -> None:
    a.step()
    cluster.now, redis.away = None, True
    a.step(60)
    assert a.cameras == {"gate": Told(1, False)}


def test_a_camera_is_not_confirmed_while_its_term_cannot_be_compared(
    a: HandBox, cluster: HandCluster, redis: HandRedis
) -> None:
    a.step()
    before, cluster.now, redis.away = cluster.now, None, True
    a.step(10)
    cluster.now = before
    a.step(10)
    assert a.cameras == {"gate": Told(1, False)}
    redis.away = False
    a.step()
    assert a.cameras == {"gate": Told(1, True)}


def test_a_camera_that_went_away_and_came_back_has_a_new_term(
    a: HandBox, b: HandBox, cluster: HandCluster
) -> None:
    a.step()
    cluster.now = table([A, B], placed("gate", "b", number=2))
    b.step()
    cluster.now = table([A, B], placed("gate", "a", number=3))  # a was stopped and saw nothing of it
    a.step()
    assert a.cameras == {"gate": Told(3, True)}


def test_a_camera_that_its_box_cannot_open_is_said_to_be_so(a: HandBox, redis: HandRedis) -> None:
    a.step()
    a.daemon.cameras["gate"] = a.daemon.cameras["gate"]._replace(trouble="it is unreachable there")
    a.step(3)
    assert redis.signs["a"].faults == {"gate": "it is unreachable there"}


def test_a_restarted_agent_goes_on_in_the_same_term(a: HandBox) -> None:
    a.step()
    a.daemon.said.clear()
    a.start()
    a.step(10)
    assert a.daemon.said == []


def test_an_agent_that_starts_without_redis_keeps_its_cameras(a: HandBox, redis: HandRedis) -> None:
    a.step()
    redis.away = True
    a.start()
    a.step(10)
    assert a.cameras == {"gate": Told(1, True)}


def test_a_removed_camera_leaves_the_daemon(a: HandBox, redis: HandRedis, cluster: HandCluster) -> None:
    a.step()
    cluster.now = table([A, B])
    del redis.configured["gate"]
    a.step(3)
    assert a.cameras == {}


def test_a_head_that_has_lost_its_table_stops_no_camera(a: HandBox, cluster: HandCluster) -> None:
    a.step()
    cluster.now = Table((), ())
    a.step(20)
    assert a.cameras == {"gate": Told(1, True)}
    assert a.agent.unplaced == {"gate", "yard"}


def test_a_changed_camera_is_changed_in_the_daemon(a: HandBox, redis: HandRedis) -> None:
    a.step()
    a.daemon.said.clear()
    redis.configure("gate", revision=2)
    a.step(3)
    assert a.daemon.said == [("put", "gate")]


def test_a_camera_of_the_box_s_own_is_never_touched(a: HandBox) -> None:
    a.daemon.cameras["gate"] = Told(None, None)
    a.step(3)
    assert a.daemon.said == []
    assert "of its own" in a.agent.faults["gate"]
    assert a.redis.signs["a"].faults == a.agent.faults


def test_a_daemon_that_has_lost_its_terms_is_told_again(a: HandBox) -> None:
    a.step()
    a.daemon.cameras["gate"] = Told(None, None)
    a.step()
    assert a.cameras == {"gate": Told(1, True)}


def test_a_redis_that_lost_its_data_gets_terms_above_those_that_were(a: HandBox, redis: HandRedis) -> None:
    """Else the next box would begin at 1, below what this one has counted."""
    a.step()
    a.cluster.now = table([A, B], placed("gate", "a"))
    redis.terms.clear()
    a.step(7)
    assert [term.term for term in redis.terms["gate"]] == [2]
    assert a.cameras == {"gate": Told(2, True)}


def test_a_camera_waits_while_its_term_cannot_be_taken(a: HandBox, redis: HandRedis) -> None:
    a.step()
    a.cluster.now = table([A, B], placed("gate", "a"), placed("yard", "a"))
    redis.away = True
    a.step(3)
    assert set(a.cameras) == {"gate"}
    redis.away = False
    a.step()
    assert set(a.cameras) == {"gate", "yard"}


def test_a_box_that_ends_by_its_drain_knows_of_it_at_its_next_start(a: HandBox, redis: HandRedis) -> None:
    """Else it would have room again, and cameras."""
    a.step()
    redis.drained_boxes.add("a")
    a.cluster.now = table([B], placed("gate", "b", number=2))
    a.step(each_s=0.25)
    assert a.agent.is_drained


@pytest.mark.parametrize(
    ("ahead_s", "said"), [(3.0, "3.0 s ahead of"), (-60.0, "60.0 s behind"), (0.4, ""), (-0.4, "")]
)
def test_a_clock_that_is_off_is_said_until_it_is_right(
    a: HandBox, redis: HandRedis, ahead_s: float, said: str
) -> None:
    redis.clock = lambda: int((a.clock.now_s - ahead_s) * 1e9)
    a.step(3)
    assert said in a.agent.faults.get("", "")
    assert bool(said) == bool(a.agent.faults)
    redis.clock = a.clock.wall_ns
    a.step(31)
    assert a.agent.faults == {}


@pytest.mark.parametrize("whose", ["a", "b"])
def test_boxes_whose_clocks_are_too_far_apart_never_have_a_camera_open_at_once(
    a: HandBox, b: HandBox, cluster: HandCluster, redis: HandRedis, whose: str
) -> None:
    """What both saw would come twice where their clocks put it on different sides of the move."""
    off = {"a": a, "b": b}[whose].clock
    redis.clock = lambda: int((off.now_s - 0.4) * 1e9)
    ({"a": a, "b": b}[whose]).step()
    redis.clock = None
    a.step()
    b.daemon.sees = False
    cluster.now = table([A, B], placed("gate", "b", number=2))
    b.step()
    assert (redis.terms["gate"][-1].seen_ns is None) is (whose == "b")
    a.step()
    assert a.cameras == {}


def test_a_redis_that_answers_slowly_says_nothing_of_the_clock(a: HandBox, redis: HandRedis) -> None:
    def slow() -> int:
        a.clock.now_s += 2.0
        return int((a.clock.now_s - 2.0) * 1e9)

    redis.clock = slow
    a.step()
    assert a.agent.faults == {}


def test_a_memory_that_cannot_be_read_is_not_taken_for_an_empty_one(a: HandBox, tmp_path: Path) -> None:
    a.step()
    (tmp_path / "a.json").write_text('{"gate": ')
    with pytest.raises(StorageError, match="move it away"):
        a.start()
