"""Case 9: Redis did what it was asked, and its reply is lost or cut in the middle. Exactly one entry each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.daemon import redis_server
from tests.faults.delivery_rig import Rig, redis_at
from tests.reply_eater import ReplyEater

pytestmark = pytest.mark.integration
CUTS = 8


@pytest.fixture
def eater(short_dir: Path, redis_binary: str) -> Iterator[tuple[Rig, ReplyEater]]:  # noqa: ARG001
    """A delivery worker that reaches its Redis through the eater alone."""
    rig = Rig(short_dir)
    rig.start_redis()
    behind = str(rig.runtime_dir / redis_server.SOCKET_NAME)
    eater = ReplyEater(rig.runtime_dir / "eater.sock", behind)
    rig.sinks = (redis_at(rig.redis_url.replace(behind, str(rig.runtime_dir / "eater.sock"))),)
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 1)
    rig.settle()
    yield rig, eater
    rig.close()
    eater.close()


def is_down(rig: Rig) -> bool:
    return bool(rig.status["sinks"]["redis"]["state"] == "down")


def test_a_reply_that_never_comes(eater: tuple[Rig, ReplyEater]) -> None:
    rig, proxy = eater
    proxy.eating = True
    rig.count("gate", 7)
    rig.until(lambda: rig.in_redis("gate") == list(range(1, 9)))  # it has arrived
    rig.until(lambda: is_down(rig))
    assert proxy.eaten
    proxy.eating = False
    rig.settle()
    rig.assert_each_once()
    rig.until(lambda: not is_down(rig))


def test_replies_that_are_cut_after_any_byte(eater: tuple[Rig, ReplyEater]) -> None:
    rig, proxy = eater
    chance = random.Random(9)
    for _ in range(CUTS):
        proxy.lets_through, eaten = chance.randint(1, 20), proxy.eaten
        proxy.eating = True
        rig.count("gate", chance.randint(1, 5))
        rig.count("yard", 1)
        rig.until(lambda eaten=eaten: proxy.eaten > eaten)  # type: ignore[misc]
        proxy.eating = False
        rig.settle()
    rig.assert_each_once()
