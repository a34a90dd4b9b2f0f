"""`streamer model add URL` and `pull`: from a loopback server into the store, pinned from then on."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.errors import Exit
from streamer.models import catalogue as model_catalogue
from streamer.models.catalogue import CATALOGUE, PublicModel
from tests.pipelines.detect import tiny_models as tiny
from tests.streamer.weights_server import Served, serving


@pytest.fixture
def home(short_dir: Path) -> Path:
    (short_dir / "streamer.yaml").write_text(f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n")
    return short_dir


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(Served(weights(tmp_path, 0.9))) as it:
        yield it


def weights(folder: Path, score: float) -> bytes:
    return tiny.yolov8(folder / "made.onnx", [(10, 10, 8, 8, 1, score)], classes=80).read_bytes()


def model(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(home), "model", *words])


def names(home: Path) -> list[str]:
    found = json.loads(model(home, "list", "--json").output)
    return [item["name"] for item in found if not item["in_package"]]


def publish(monkeypatch: pytest.MonkeyPatch, url: str, **further: str) -> None:
    known = PublicModel("small", url, "Apache-2.0", 64, 0.1, "for tests", **further)
    monkeypatch.setitem(model_catalogue.CATALOGUE, "small", known)


def test_an_address_is_added_as_a_file_is(home: Path, served: Served) -> None:
    digest = hashlib.sha256(served.body).hexdigest()
    done = model(home, "add", served.url("/some/Yolo%20v8n.onnx"), "--sha256", digest)
    assert done.exit_code == 0, done.output
    assert names(home) == ["yolo-v8n"]
    assert "it is the default" in done.output
    left = [p.name for p in (home / "state/models/.downloads").rglob("*") if p.is_file()]
    assert left == ["model.onnx.lock"]


def test_plain_http_without_a_digest_is_refused_unasked(home: Path, served: Served) -> None:
    done = model(home, "add", served.url())
    assert done.exit_code == Exit.MODEL
    assert "--sha256" in done.output
    assert served.seen == []


def test_what_is_fetched_and_is_no_model_is_not_installed(home: Path, served: Served) -> None:
    served.body = b"<html>Sign in</html>"
    done = model(home, "add", served.url(), "--sha256", hashlib.sha256(served.body).hexdigest())
    assert done.exit_code == Exit.MODEL
    assert "not an ONNX model" in done.output
    assert names(home) == []


def test_a_name_that_is_taken_is_refused_before_the_download(home: Path, served: Served) -> None:
    digest = hashlib.sha256(served.body).hexdigest()
    assert model(home, "add", served.url(), "--sha256", digest).exit_code == 0
    asked = len(served.seen)
    assert "exists" in model(home, "add", served.url(), "--sha256", digest).output
    assert len(served.seen) == asked


def test_a_pulled_model_tells_licence_and_address_and_is_pinned_ever_after(
    home: Path, served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(monkeypatch, served.url())
    first = model(home, "pull", "small")
    assert first.exit_code == 0, first.output
    assert served.url() in first.output
    assert "Apache-2.0" in first.output
    assert "recorded" in first.output
    assert names(home) == ["small"]

    assert model(home, "remove", "small").exit_code == 0
    again = model(home, "pull", "small")
    assert "as expected" in again.output
    model(home, "remove", "small")

    served.body, served.etag = weights(tmp_path, 0.8), '"two"'
    changed = model(home, "pull", "small")
    assert changed.exit_code == Exit.MODEL
    assert "--changed" in changed.output
    assert names(home) == []
    accepted = model(home, "pull", "small", "--changed")
    assert accepted.exit_code == 0, accepted.output
    model(home, "remove", "small")
    assert "as expected" in model(home, "pull", "small").output


def test_a_digest_that_was_verified_is_asked_for_at_the_first_download_too(
    home: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, served.url(), sha256="0" * 64)
    assert model(home, "pull", "small").exit_code == Exit.MODEL
    assert names(home) == []


def test_what_others_report_is_said_and_binds_nobody(
    home: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, served.url(), reported="0" * 64)
    done = model(home, "pull", "small")
    assert done.exit_code == 0
    assert "pin another SHA-256" in done.output


def test_offline_it_says_how_to_bring_the_file_by_hand(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    publish(monkeypatch, f"http://127.0.0.1:{port}/small.onnx")
    done = model(home, "pull", "small")
    assert done.exit_code == Exit.MODEL
    error = done.output.strip().splitlines()[-1]
    assert "Connection refused" in error
    assert f"fetch http://127.0.0.1:{port}/small.onnx" in error
    assert "`streamer model add small.onnx --name small`" in error


def test_the_record_of_digests_is_not_lost_unseen(
    home: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, served.url())
    model(home, "pull", "small")
    model(home, "remove", "small")
    (home / "state/models/.recorded.json").write_text("{")
    done = model(home, "pull", "small")
    assert done.exit_code == Exit.STORAGE
    assert "mend or remove it" in done.output


def test_an_unknown_name_names_the_known_ones(home: Path) -> None:
    done = model(home, "pull", "yolo99")
    assert done.exit_code == Exit.MODEL
    assert "yolox-nano" in done.output


def test_the_catalogue_names_official_addresses_with_licences(home: Path) -> None:
    listed = json.loads(model(home, "pull", "--list", "--json").output)
    assert [item["name"] for item in listed] == list(CATALOGUE)
    text = model(home, "pull", "--list").output
    for known in CATALOGUE.values():
        assert urlsplit(known.url).scheme == "https"
        assert known.licence in ("Apache-2.0", "AGPL-3.0")
        assert known.name in text
        assert all(d is None or re.fullmatch("[0-9a-f]{64}", d) for d in (known.sha256, known.reported))
