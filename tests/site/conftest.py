"""A Redis of its own for a module's tests, as one server and as a Cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamer.sinks.redis_connection import connect
from tests.redis_servers import Cluster, Node


@pytest.fixture(scope="module", params=["server", "cluster"])
def url(
    request: pytest.FixtureRequest, redis_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    servers = Cluster(redis_binary, folder) if request.param == "cluster" else Node(redis_binary, folder)
    yield servers.url()
    servers.close() if isinstance(servers, Cluster) else servers.kill()


@pytest.fixture
def redis(url: str) -> Iterator[Any]:
    """A client of it, which is empty."""
    client = connect(url)
    flush(client)
    yield client
    client.close()


def flush(client: Any) -> None:
    client.flushall(target_nodes="primaries") if hasattr(client, "get_node_from_key") else client.flushall()
