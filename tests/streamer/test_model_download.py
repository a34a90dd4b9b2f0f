"""Downloads over HTTP: what is cut goes on, what is wrong leaves nothing, and every failure is one line."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.errors import ModelError, StorageError
from streamer.models import download as model_download
from streamer.models.download import Limits, download, exclusive
from tests.streamer.weights_server import Served, serving

BODY = random.Random(5).randbytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
QUICK = Limits(pause_s=0.0, silence_s=5.0)
ONCE = Limits(attempts=1, silence_s=5.0)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served(BODY)) as it:
        yield it


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "model.onnx"


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path.suffix != ".lock")


def test_a_file_comes_whole_with_its_digest_and_its_progress(served: Served, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    done = download(served.url(), target, sha256=DIGEST.upper(), progress=lambda *at: seen.append(at))
    assert (done.sha256, done.bytes, target.read_bytes()) == (DIGEST, len(BODY), BODY)
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
    assert left(target) == ["model.onnx"]


def test_a_cut_connection_goes_on_where_it_was(served: Served, target: Path) -> None:
    served.cut_after = [100_000, 50_000]
    download(served.url(), target, sha256=DIGEST, limits=QUICK)
    assert target.read_bytes() == BODY
    assert served.seen == ["", "bytes=100000-", "bytes=150000-"]


def test_a_later_command_goes_on_where_the_first_gave_up(served: Served, target: Path) -> None:
    served.cut_after = [100_000]
    with pytest.raises(ModelError, match=r"cut after 100000 of 300000.*100000 bytes are kept"):
        download(served.url(), target, sha256=DIGEST, limits=Limits(attempts=0))
    assert not target.exists()
    download(served.url(), target, sha256=DIGEST)
    assert served.seen == ["", "bytes=100000-"]
    assert target.read_bytes() == BODY


def test_a_file_that_changed_between_two_attempts_is_fetched_anew(served: Served, target: Path) -> None:
    served.cut_after = [100_000]
    with pytest.raises(ModelError):
        download(served.url(), target, limits=Limits(attempts=0))
    served.body, served.etag = BODY[::-1], '"two"'
    assert download(served.url(), target).sha256 == hashlib.sha256(BODY[::-1]).hexdigest()


def test_half_a_file_of_another_address_is_not_taken_for_this_one(served: Served, target: Path) -> None:
    served.cut_after = [100_000]
    with pytest.raises(ModelError):
        download(served.url("/other.onnx"), target, limits=Limits(attempts=0))
    download(served.url(), target, sha256=DIGEST)
    assert served.seen == ["", ""]


@pytest.mark.parametrize("trouble", ["no ranges", "no name for the file", "another range"])
def test_a_server_that_cannot_resume_sends_it_all_again(served: Served, target: Path, trouble: str) -> None:
    served.cut_after = [100_000]
    served.takes_ranges = trouble != "no ranges"
    served.etag = "" if trouble == "no name for the file" else served.etag
    served.wrong_range = trouble == "another range"
    download(served.url(), target, sha256=DIGEST, limits=QUICK)
    assert target.read_bytes() == BODY


def test_the_wrong_file_leaves_nothing(served: Served, target: Path) -> None:
    with pytest.raises(ModelError, match=f"have SHA-256 {DIGEST}, expected {'0' * 64}.*nothing was kept"):
        download(served.url(), target, sha256="0" * 64)
    assert left(target) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_not_there_is_asked_for_once(served: Served, target: Path, status: int) -> None:
    served.statuses = [status] * 5
    with pytest.raises(ModelError, match=rf"the server answers {status} .*is the address right"):
        download(served.url(), target, limits=QUICK)
    assert len(served.seen) == 1


def test_a_server_that_is_busy_is_asked_again(served: Served, target: Path) -> None:
    served.statuses = [503, 429]
    download(served.url(), target, sha256=DIGEST, limits=QUICK)
    assert len(served.seen) == 3
    served.statuses = [503] * 9
    with pytest.raises(ModelError, match="503"):
        download(served.url(), target.with_name("b.onnx"), limits=QUICK)
    assert len(served.seen) == 3 + QUICK.attempts


def test_redirects_are_followed_with_the_range_and_only_to_http(served: Served, target: Path) -> None:
    served.redirects = {
        "/latest.onnx": "/weights.onnx",
        "/ftp.onnx": "ftp://127.0.0.1/a",
        "/a": "/b",
        "/b": "/a",
    }
    served.cut_after = [100_000]
    download(served.url("/latest.onnx"), target, sha256=DIGEST, limits=QUICK)
    assert served.seen == ["", "", "bytes=100000-", "bytes=100000-"]
    with pytest.raises(ModelError, match="give https://HOST/PATH"):
        download(served.url("/ftp.onnx"), target)
    with pytest.raises(ModelError, match="302"):
        download(served.url("/a"), target)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = model_download.urllib.request.Request("https://example.org/a")
    with pytest.raises(ModelError, match="leads away from https"):
        model_download._Redirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/a")


@pytest.mark.parametrize("says_length", [True, False])
def test_what_is_too_big_is_refused_and_not_kept(served: Served, target: Path, says_length: bool) -> None:
    served.says_length = says_length
    with pytest.raises(ModelError, match="at most 200000"):
        download(served.url(), target, limits=Limits(max_bytes=200_000))
    assert left(target) == []


def test_a_body_without_a_length_comes_whole(served: Served, target: Path) -> None:
    served.says_length = False
    download(served.url(), target, sha256=DIGEST)
    assert target.read_bytes() == BODY


def test_a_server_that_trickles_or_falls_silent_is_given_up(served: Served, target: Path) -> None:
    served.trickle_s = 0.02
    with pytest.raises(ModelError, match=r"slower than 1000000 bytes a second; \d+ bytes are kept"):
        download(served.url(), target, limits=Limits(attempts=1, slow_s=0.2, slow_bytes_per_s=1e6))
    served.silent = True
    with pytest.raises(ModelError, match="no answer in time"):
        download(served.url("/other.onnx"), target, limits=Limits(attempts=1, silence_s=0.2))


def test_where_nobody_listens_it_says_so_at_once(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ModelError, match=r"127\.0\.0\.1.*Connection refused"):
        download(f"http://127.0.0.1:{port}/a.onnx", target, limits=QUICK)


def test_an_answer_that_is_no_http_is_an_error_of_one_line(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example.org ESMTP\r\n\r\n")

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(ModelError, match="no answer that is HTTP") as refusal:
            download(f"http://127.0.0.1:{listener.getsockname()[1]}/a.onnx", target, limits=ONCE)
        thread.join()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["ftp://example.org/a.onnx", "file:///etc/passwd", "http:///a.onnx", "http://h:port/a", "a.onnx"]
)
def test_other_addresses_are_refused_unasked(url: str, target: Path) -> None:
    with pytest.raises(ModelError):
        download(url, target)
    assert not target.parent.exists()


def test_a_password_in_an_address_is_refused_and_not_shown(target: Path) -> None:
    with pytest.raises(ModelError) as refusal:
        download("https://me:secret@example.org/a.onnx", target)
    assert "secret" not in str(refusal.value)


def test_a_token_in_an_address_is_neither_shown_nor_stored(served: Served, target: Path) -> None:
    served.cut_after = [100_000]
    with pytest.raises(ModelError) as refusal:
        download(served.url("/a.onnx?token=hush"), target, limits=Limits(attempts=0))
    kept = b"".join(p.read_bytes() for p in target.parent.iterdir() if p.suffix == ".json")
    assert "hush" not in str(refusal.value)
    assert b"hush" not in kept
    assert kept


def test_two_downloads_of_one_file_at_once_are_one_too_many(served: Served, target: Path) -> None:
    target.parent.mkdir()
    with exclusive(target), pytest.raises(ModelError, match="another command"):
        download(served.url(), target)


def test_a_folder_that_cannot_be_written_is_the_disks_fault(served: Served, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="check free space"):
        download(served.url(), tmp_path / "file" / "model.onnx")
