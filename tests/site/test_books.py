"""A site's books over a kill and a cut, in simulated time: with Redis in the clear, and behind TLS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.errors import RedisError
from streamer.site.site_redis import SiteRedis
from tests.bench.site_books import books
from tests.certificates import Authority
from tests.redis_servers import Node, Tls
from tests.tls_end import behind_tls

pytestmark = pytest.mark.integration


@pytest.fixture(params=["in the clear", "TLS"])
def url(request: pytest.FixtureRequest, redis_binary: str, tmp_path: Path) -> Iterator[str]:
    tls = None
    if request.param == "TLS":
        authority = Authority(tmp_path / "ca")
        tls = Tls(authority.ca, *authority.sign("redis", "IP:127.0.0.1"))
    node = Node(redis_binary, tmp_path, "--save", "", tls=tls)
    yield f"{node.url()}?ssl_ca_certs={tls.ca}" if tls else node.url()
    node.kill()


def test_two_boxes_hand_cameras_over_and_every_crossing_is_counted_once(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "boxes"
    folder.mkdir()
    found = books(
        url, folder, boxes=2, cameras=3, skew_ms=0, seed=3, faults=["box", "cut from redis too", "daemon"]
    )
    shutil.rmtree(folder)
    assert found["moves"] >= 3
    assert found["crossings"] > 30
    assert found["refused"] > 0, "a box that was cut off has counted on"
    assert (found["twice"], found["lost_after_commit"], found["is_whole"]) == (0, 0, True)
    assert found["spent_s"] == pytest.approx(found["length_s"], abs=0.1)
    lost = found["lost_living"] + found["lost_dead"] + found["lost_beside"]
    assert lost < 0.2 * found["crossings"], "most are counted"


def test_a_redis_that_nobody_vouches_for_gives_no_term(redis_binary: str, tmp_path: Path) -> None:
    stranger, node = Authority(tmp_path / "stranger"), Node(redis_binary, tmp_path, "--save", "")
    try:
        with behind_tls(node.port, Authority(tmp_path / "ca")) as port:
            redis = SiteRedis(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={stranger.ca}", "shop")
            with pytest.raises(RedisError, match=r"(?i)certificate"):
                redis.next_term("gate", "n", "b1", 1, 0)
        assert not node.ask("KEYS", "*")
    finally:
        node.kill()
