"""The site's cameras in a folder and in a real Redis: what is published, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import ConfigError, RedisError, StorageError
from streamer.ipc.redis_keys import site_configuration_key
from streamer.sinks.redis_connection import connect
from streamer.site.configuration import (
    SiteCamera,
    keep_copy,
    kept_copy,
    publish,
    published,
    read_folder,
    remove_camera,
    write_camera,
)
from tests.redis_servers import Node

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(redis_binary, tmp_path_factory.mktemp("site"))
    yield node
    node.kill()


@pytest.fixture
def redis(server: Node) -> Iterator[Any]:
    client = connect(server.url())
    client.flushall()
    yield client
    client.close()


def _camera(name: str, **more: Any) -> SiteCamera:
    given = {"name": name, "url": "rtsp://10.0.0.9/stream2", "cost": 0.2, **more}
    return SiteCamera.model_validate(given)


def test_a_camera_is_published_as_it_is_written(redis: Any, tmp_path: Path) -> None:
    write_camera(tmp_path, _camera("gate", on={"gpu": "yes"}, source={"fps": 5}), replace=False)
    publish(redis, "shop", read_folder(tmp_path))
    gate = published(redis, "shop")["gate"]
    wanted = {"name": "gate", "url": "rtsp://10.0.0.9/stream2", "source": {"fps": 5}}
    assert (dict(gate.camera), gate.cost, gate.on, gate.revision) == (wanted, 0.2, {"gpu": "yes"}, 1)


def test_a_revision_rises_when_its_camera_has_changed_and_only_then(redis: Any) -> None:
    publish(redis, "shop", [_camera("gate"), _camera("yard")])
    publish(redis, "shop", [_camera("gate", pipeline="motion"), _camera("yard")])
    assert {name: each.revision for name, each in published(redis, "shop").items()} == {"gate": 2, "yard": 1}


def test_what_is_not_in_the_folder_any_more_is_not_published_any_more(redis: Any) -> None:
    publish(redis, "shop", [_camera("gate"), _camera("yard")])
    publish(redis, "shop", [_camera("yard")])
    publish(redis, "other", [])
    assert set(published(redis, "shop")) == {"yard"}


def test_a_key_that_holds_something_else_is_said_in_one_line(redis: Any) -> None:
    redis.hset(site_configuration_key("shop"), "gate", "{")
    with pytest.raises(RedisError, match="streamer site apply"):
        published(redis, "shop")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: gate\nurl: rtsp://h/s\n", "gate.yaml:1: cost"),
        ("name: gate\nurl: rtsp://h/s\ncost: 0\n", "gate.yaml:3: cost"),
        ("name: gate\nurl: rtsp://user:pw@h/s\ncost: 1\n", "gate.yaml:2: url"),
        ("name: gate\nurl: rtsp://h/s\ncost: 1\non: {gpu: 'a b'}\n", "gate.yaml:4: on"),
        ("name: yard\nurl: rtsp://h/s\ncost: 1\n", "name the file yard.yaml"),
        ("name: gate\nurl: rtsp://h/s\ncost: 1\ncolour: red\n", "gate.yaml:4: colour"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line_and_key(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "gate.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_folder(tmp_path)
    assert why in str(refused.value)
    assert "pw" not in str(refused.value)


def test_a_camera_that_is_there_is_not_overwritten_and_one_that_is_not_is_not_removed(tmp_path: Path) -> None:
    write_camera(tmp_path, _camera("gate"), replace=False)
    with pytest.raises(ConfigError, match="exists in the site"):
        write_camera(tmp_path, _camera("gate"), replace=False)
    with pytest.raises(ConfigError, match="no camera 'yard' in the site; known: gate"):
        remove_camera(tmp_path, "yard")


def test_a_box_s_copy_is_what_was_published(redis: Any, tmp_path: Path) -> None:
    publish(redis, "shop", [_camera("gate", on={"gpu": "yes"})])
    keep_copy(tmp_path / "copy.json", published(redis, "shop"))
    assert kept_copy(tmp_path / "copy.json") == published(redis, "shop")
    assert kept_copy(tmp_path / "none.json") == {}
    (tmp_path / "copy.json").write_text("[")
    with pytest.raises(StorageError, match="remove it"):
        kept_copy(tmp_path / "copy.json")
