"""Case 41: a box of a site is cut off, killed or comes back, or the Redis is away: the site's counts hold
each crossing once, from the box that owned its moment, and every second has its reason.

Real daemons in folders of their own that see the same camera; what each has in its ledger says what is right.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.events import LINE_CROSSED
from streamer.api import control_socket as control
from streamer.config.schema import LEDGER_FILE
from streamer.errors import ControlError, RedisError
from streamer.events.cloudevents import COUNTS
from streamer.ipc.redis_keys import events_key, term_events_key
from streamer.ledger.history import history
from streamer.sinks.redis_connection import connect
from streamer.site.terms import next_term
from tests.daemon import Daemon
from tests.moving import camera
from tests.patience import patient
from tests.redis_servers import Node

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SITE, CAMERA = "shop", "gate"


class SiteRedis:
    """The site's Redis, which each box reaches by a path of its own: without it the box is cut off."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._socket = folder / "site.sock"
        self.node = Node(binary, folder, "--unixsocket", str(self._socket))

    def url(self, box: Path) -> str:
        (box / "redis.sock").symlink_to(self._socket)
        return f"unix://{box / 'redis.sock'}"

    def cut(self, box: Daemon) -> None:
        (box.base / "redis.sock").unlink()
        self.node.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # the others are back at once

    def join(self, box: Daemon) -> None:
        (box.base / "redis.sock").symlink_to(self._socket)

    def raise_term(self, box: Daemon) -> tuple[int, int]:
        """The camera's next term is this box's: (term, Unix ns of its begin)."""
        client, from_ns = connect(self.node.url()), time.time_ns()
        try:
            return next_term(client, SITE, CAMERA, box.status()["node"], from_ns), from_ns
        finally:
            client.close()


@pytest.fixture
def site(redis_binary: str, short_dir: Path) -> Iterator[SiteRedis]:
    redis = SiteRedis(redis_binary, short_dir)
    yield redis
    redis.node.kill()


@pytest.fixture
def boxes(site: SiteRedis, short_dir: Path) -> Iterator[list[Daemon]]:
    """Two daemons, not started, each with the site's Redis as its sink."""
    found = []
    for name in ("a", "b"):
        (short_dir / name).mkdir()
        sinks = [{"kind": "redis", "url": site.url(short_dir / name)}]
        engine, counts = {"engine": "motion"}, {"bucket_s": 5}
        found.append(Daemon(short_dir / name, inference=engine, counts=counts, sinks=sinks))
    yield found
    for box in found:
        box.kill()


def tell(box: Daemon, term: int, owned: bool = True, from_ns: int = 0) -> dict[str, Any]:
    told = {"site": SITE, "camera": CAMERA, "term": term, "owned": owned, "from_ns": from_ns}
    return control.call(box.runtime_dir / "control.sock", "camera.term", told, timeout_s=patient(5.0))


def add(box: Daemon, clip: Path) -> None:
    change = {"op": "camera.put", "camera": camera(CAMERA, clip, loop=True)}
    control.call(box.runtime_dir / "control.sock", "change", change, timeout_s=patient(15.0))


def take_over(site: SiteRedis, box: Daemon) -> tuple[int, int]:
    term, from_ns = site.raise_term(box)
    tell(box, term, from_ns=from_ns)
    return term, from_ns


def crossings(box: Daemon) -> list[dict[str, Any]]:
    """All that it counted, by its ledger."""
    found = history(box.state_dir / LEDGER_FILE, types=[LINE_CROSSED])
    return [json.loads(event.body)["data"] for event in found]


def buckets(box: Daemon) -> list[dict[str, Any]]:
    found = history(box.state_dir / LEDGER_FILE, types=[COUNTS])
    return [json.loads(event.body)["data"] for event in found]


def counted_in(box: Daemon, from_ns: int, until_ns: int) -> int:
    return sum(from_ns <= data["crossed_captured_ns"] < until_ns for data in crossings(box))


def wait_for_crossings(box: Daemon, more: int, **stamp: Any) -> None:
    """Until it has counted so many more with this in their data."""

    def such() -> int:
        return sum(stamp.items() <= data.items() for data in crossings(box))

    before = such()
    box.wait_for(lambda _: such() >= before + more, 40, f"{more} crossings with {stamp}")


def delivered(box: Daemon) -> None:
    box.wait_for(lambda s: s["ledger"]["committed"] and not s["ledger"]["undelivered"], 40, "delivery")


def counts_of_site(box: Daemon) -> tuple[dict[str, Any], str]:
    asked = ("counts", "--site", SITE, "--camera", CAMERA, "--since", "all", "--by", "name", "--json")
    done = box.cli(*asked)
    return json.loads(done.stdout), done.stderr


def assert_all_accounted_for(document: dict[str, Any], begin_ns: int, end_ns: int) -> None:
    whole = sum(document["coverage"][CAMERA].values())
    assert whole == pytest.approx((end_ns - begin_ns) / 1e9, abs=0.05)
    of_camera = document["cameras"][CAMERA]
    assert of_camera["seen_s"] + of_camera["blind_s"] == pytest.approx(whole, abs=0.05)


def test_a_box_that_is_cut_off_counts_on_and_what_it_sends_later_is_not_counted_twice(
    site: SiteRedis, boxes: list[Daemon], moving_clip: Path
) -> None:
    a, b = (box.start(wait=False) for box in boxes)
    for box in boxes:
        box.wait_for(box._serves, 60, "the daemon to serve")
    take_over(site, a)
    add(a, moving_clip)
    wait_for_crossings(a, 2, term=1)
    site.cut(a)
    tell(a, 1, owned=False)  # its agent has lost the cluster
    wait_for_crossings(a, 2, term=1, unowned=True)
    _, second_ns = take_over(site, b)
    add(b, moving_clip)
    wait_for_crossings(b, 2, term=2)
    wait_for_crossings(a, 2, term=1, unowned=True)  # it counts on
    early, _ = counts_of_site(b)
    site.join(a)
    delivered(a)
    third, third_ns = take_over(site, a)  # the old term's holder comes back ...
    with pytest.raises(ControlError, match="is over"):
        tell(a, 1)
    wait_for_crossings(a, 2, term=third)
    wait_for_crossings(b, 1, term=2)  # ... and who has had it meanwhile hears of that late
    assert [box.stop() for box in boxes] == [0, 0]
    end_ns = 1 << 63
    right = counted_in(a, 0, second_ns) + counted_in(b, second_ns, third_ns) + counted_in(a, third_ns, end_ns)
    refused = len(crossings(a)) + len(crossings(b)) - right
    document, said = counts_of_site(b)
    assert document["total"]["count"] == right
    assert refused >= 3
    assert f"{CAMERA}: {refused} were counted by a box while another owned the camera" in said
    assert early["total"]["count"] < right
    assert_all_accounted_for(document, buckets(a)[0]["start_ns"], buckets(a)[-1]["end_ns"])
    assert document["cameras"][CAMERA]["blind"]["moved_box"] > 0
    assert counts_of_site(a)[0] == document  # whoever asks
    for box in boxes:
        box.cli("ledger", "verify")  # buckets that a term cut fit their events


def test_a_daemon_that_is_killed_between_the_term_and_the_first_frame_makes_every_event_in_it(
    site: SiteRedis, boxes: list[Daemon], moving_clip: Path
) -> None:
    a = boxes[0].start()
    term, from_ns = site.raise_term(a)
    assert tell(a, term, from_ns=from_ns) == {"camera": CAMERA, "site": SITE, "term": term, "owned": True}
    a.kill()
    a.start()
    add(a, moving_clip)
    wait_for_crossings(a, 2, term=term)
    assert a.camera(CAMERA)["site"] == SITE
    a.kill()
    a.start()
    wait_for_crossings(a, 2, term=term)
    delivered(a)
    node = a.status()["node"]
    assert a.stop() == 0
    assert all(data["term"] == term for data in (*crossings(a), *buckets(a)))
    client = connect(site.node.url())
    assert not client.exists(events_key(node, CAMERA))
    ids = [int(i.decode().split("-")[1]) for i, _ in client.xrange(term_events_key(SITE, CAMERA, term))]
    client.close()
    assert ids == list(range(1, len(ids) + 1))
    document, said = counts_of_site(a)
    assert (document["total"]["count"], said) == (len(crossings(a)), "")
    assert_all_accounted_for(document, buckets(a)[0]["start_ns"], buckets(a)[-1]["end_ns"])


def test_while_the_sites_redis_is_away_no_term_is_taken_and_nothing_that_was_counted_is_lost(
    site: SiteRedis, boxes: list[Daemon], moving_clip: Path
) -> None:
    a = boxes[0].start()
    first, _ = take_over(site, a)
    add(a, moving_clip)
    wait_for_crossings(a, 1, term=first)
    site.node.kill()
    with pytest.raises(RedisError, match="not reached"):
        site.raise_term(a)
    tell(a, first, owned=False)
    wait_for_crossings(a, 2, unowned=True)
    site.node.start()  # with nothing: it had not saved
    delivered(a)
    second, _ = take_over(site, a)
    wait_for_crossings(a, 2, term=second)
    assert a.stop() == 0
    assert second == first + 1  # the sink had said again which term it was
    document, said = counts_of_site(a)
    assert document["total"]["count"] == len(crossings(a))
    assert "s of it by a box that nobody confirmed any more" in said
    assert_all_accounted_for(document, buckets(a)[0]["start_ns"], buckets(a)[-1]["end_ns"])
    assert "moved_box" not in document["cameras"][CAMERA]["blind"]
