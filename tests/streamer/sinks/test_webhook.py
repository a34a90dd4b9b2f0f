"""The webhook sink through a real delivery worker against a real HTTP server that fails in every way."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from streamer.cli.main import cli
from streamer.errors import ConfigError
from streamer.ipc.messages import SinkAssignment
from streamer.sinks.http_post import NotSent, Poster
from streamer.sinks.signatures import signature_headers, signing_keys
from streamer.sinks.webhook import WebhookSettings, _retry_after_s
from tests.certificates import Authority
from tests.faults.delivery_rig import Rig
from tests.webhook_server import (
    Hook,
    Request,
    always,
    answer,
    dribble,
    hang,
    take_and_cut,
    webhook,
)

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def sink_at(url: str, secret: str = SECRET, **settings: object) -> SinkAssignment:
    checked = WebhookSettings.model_validate({"kind": "webhook", "url": url, **settings})
    address = checked.signed(url, secret) if secret else url
    return SinkAssignment("webhook", "webhook", checked.model_dump_json(), address)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def rig(short_dir: Path, hook: Hook) -> Iterator[Rig]:
    rig = Rig(short_dir)
    rig.sinks = (sink_at(hook.url, timeout_s=1.0, max_tries=2),)
    yield rig
    rig.close()


def state(rig: Rig) -> str:
    return str(rig.status.get("sinks", {}).get("webhook", {}).get("state"))


def all_delivered(rig: Rig) -> bool:
    ledger = rig.status.get("ledger", {})
    return ledger.get("committed") == sum(rig.sent.values()) and ledger.get("undelivered") == 0


def started(rig: Rig, steps: int = 3) -> Rig:
    rig.start_delivery()
    rig.resume()
    rig.count("gate", steps)
    rig.count("yard", 1)
    return rig


@pytest.mark.integration
def test_each_event_arrives_once_in_order_and_signed(rig: Rig, hook: Hook) -> None:
    started(rig, 20)
    rig.until(lambda: all_delivered(rig))
    assert (hook.seqs("gate"), hook.seqs("yard")) == (list(range(1, 21)), [1])
    for request in hook.taken:
        assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        ident, at_s = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
        assert ident == request.event["id"]
        wanted = signature_headers(signing_keys(SECRET), ident, at_s, request.body)
        assert request.headers["webhook-signature"] == wanted["webhook-signature"]


@pytest.mark.integration
@pytest.mark.parametrize("failing", [hang, dribble, always(500), always(503, "retry-after: 1"), always(429)],
                         ids=["hangs", "dribbles", "500", "503", "429"])  # fmt: skip
def test_a_server_that_fails_is_waited_for_and_nothing_is_lost_or_twice(
    rig: Rig, hook: Hook, failing: object
) -> None:
    hook.reply = failing  # type: ignore[assignment]
    started(rig)
    rig.until(lambda: state(rig) == "down")
    assert hook.taken == []
    hook.reply = Hook().reply
    rig.until(lambda: all_delivered(rig))
    assert (hook.seqs("gate"), hook.seqs("yard")) == ([1, 2, 3], [1])


@pytest.mark.integration
def test_a_server_that_refuses_connections_is_waited_for(rig: Rig, hook: Hook) -> None:
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        rig.sinks = (sink_at(f"http://127.0.0.1:{taken.getsockname()[1]}/hook"),)
        started(rig)
        rig.until(lambda: state(rig) == "down")
    rig.sinks = (sink_at(hook.url),)
    rig.tell(rig.assignment(rev=2))
    rig.until(lambda: all_delivered(rig))


@pytest.mark.integration
def test_an_event_whose_answer_is_cut_comes_again_under_the_same_id_and_before_the_next(
    rig: Rig, hook: Hook
) -> None:
    def cut_the_second(hook: Hook, connection: socket.socket, request: Request) -> None:
        cut = request.seq == 2 and 2 not in hook.seqs("gate")
        (take_and_cut if cut else Hook.take)(hook, connection, request)  # type: ignore[operator]

    hook.reply = cut_the_second
    started(rig)
    rig.until(lambda: all_delivered(rig))
    assert hook.seqs("gate") == [1, 2, 2, 3]
    again = [r.headers["webhook-id"] for r in hook.taken if r.seq == 2]
    assert again[0] == again[1]


@pytest.mark.integration
def test_a_poisoned_event_becomes_a_dead_letter_that_is_shown_and_can_be_sent_again(
    rig: Rig, hook: Hook, short_dir: Path
) -> None:
    def refuse_the_second(hook: Hook, connection: socket.socket, request: Request) -> None:
        if request.event["data"]["camera"] == "gate" and request.seq == 2:
            answer(connection, 422)
        else:
            hook.take(connection, request)

    hook.reply = refuse_the_second
    started(rig)
    rig.until(lambda: all_delivered(rig))
    assert (hook.seqs("gate"), hook.seqs("yard")) == ([1, 3], [1])
    assert len([r for r in hook.requests if r.seq == 2]) == 2  # max_tries
    rig.until(lambda: rig.status["sinks"]["webhook"]["dead_letters"] == 1)
    (short_dir / "cfg").mkdir()
    sink = {"kind": "webhook", "url": hook.url}
    folders = {"state_dir": str(rig.state_dir), "runtime_dir": str(rig.runtime_dir)}
    (short_dir / "cfg" / "streamer.yaml").write_text(json.dumps({**folders, "sinks": [sink]}))

    def command(*args: str) -> str:
        done = CliRunner().invoke(cli, ["--config", str(short_dir / "cfg"), "sink", "dead-letters", *args])
        assert done.exit_code == 0, done.output
        return done.output

    (letter,) = json.loads(command("list", "webhook", "--json"))
    assert (letter["camera"], letter["tries"], letter["event"]["data"]["seq"]) == ("gate", 2, 2)
    assert "answers 422" in letter["reason"]
    assert "1 dead letters" in command("retry", "webhook")
    rig.until(lambda: len([r for r in hook.requests if r.seq == 2]) == 3)  # refused again, and kept
    rig.until(lambda: not json.loads(command("list", "webhook", "--json"))[0]["retry"])
    hook.reply = Hook().reply
    command("retry", "webhook", "--camera", "gate")
    rig.until(lambda: 2 in hook.seqs("gate"))
    rig.until(lambda: rig.status["sinks"]["webhook"]["dead_letters"] == 0)
    assert "no dead letters" in command("list", "webhook")


@pytest.mark.integration
def test_gone_is_believed_and_events_wait(rig: Rig, hook: Hook) -> None:
    hook.reply = always(410)
    started(rig)
    rig.until(lambda: state(rig) == "gone")
    asked = len(hook.requests)
    rig.count("gate", 2)
    rig.until(lambda: rig.status["ledger"]["committed"] == 6)
    assert len(hook.requests) == asked == 1
    assert rig.status["ledger"]["undelivered"] == 6


@pytest.mark.integration
def test_a_redirect_to_another_server_is_not_followed_and_one_within_is(rig: Rig, hook: Hook) -> None:
    with webhook() as other:
        hook.reply = always(307, f"location: {other.url}")
        started(rig)
        rig.until(lambda: state(rig) == "refused")
        assert other.requests == []

    def within(hook: Hook, connection: socket.socket, request: Request) -> None:
        if request.path == "/hook":
            answer(connection, 308, "location: /there")
        else:
            hook.take(connection, request)

    hook.reply = within
    rig.until(lambda: all_delivered(rig))
    assert {r.path for r in hook.taken} == {"/there"}


@pytest.mark.integration
def test_a_worker_that_is_killed_repeats_at_most_what_it_had_not_noted(rig: Rig, hook: Hook) -> None:
    started(rig, 50)
    rig.until(lambda: len(hook.taken) > 5)
    rig.kill_delivery()
    rig.start_delivery()
    rig.until(lambda: all_delivered(rig))
    assert list(dict.fromkeys(hook.seqs("gate"))) == list(range(1, 51))
    first = {r.headers["webhook-id"] for r in hook.taken}
    assert len(first) == 51


def test_a_certificate_in_another_name_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.sign("localhost", "DNS:other.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    settings = WebhookSettings.model_validate(
        {"kind": "webhook", "url": "https://127.0.0.1", "tls_ca": str(authority.ca)}
    )
    listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True,
                                   do_handshake_on_connect=False)  # fmt: skip
    import threading

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            connection.do_handshake()
        except OSError:
            pass
        finally:
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    poster = Poster("127.0.0.1", listener.getsockname()[1], settings.tls_context(""))
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        poster.post("/", b"{}", {}, 5)
    thread.join(10)
    listener.close()


def test_what_is_no_http_is_said() -> None:
    def babble(_hook: Hook, connection: socket.socket, _request: Request) -> None:
        connection.sendall(b"220 mail.example ESMTP\r\n")

    with webhook() as hook:
        hook.reply = babble
        with pytest.raises(NotSent, match="answers in no HTTP"):
            Poster("127.0.0.1", hook.port, None).post("/", b"{}", {}, 5)


def test_signatures_are_those_of_the_specification() -> None:
    """The example of the specification's reference libraries."""
    keys = signing_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = signature_headers(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    two = signature_headers([*keys, *signing_keys(SECRET)], "x", 1, body)
    assert len(two["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize("wrong", ["whsec_", "whsec_short", "whsec_ä", "whsec_" + "A" * 200])
def test_a_secret_that_signs_nothing_well_is_refused_without_being_shown(wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        signing_keys(wrong)
    assert wrong.removeprefix("whsec_")[:5] not in str(refused.value) or wrong == "whsec_"


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert _retry_after_s("7") == 7
    assert 50 < _retry_after_s(formatdate(usegmt=True, timeval=__import__("time").time() + 60)) <= 60
    assert (_retry_after_s("soon"), _retry_after_s(""), _retry_after_s("-3")) == (0, 0, 0)


def test_an_address_that_may_not_be_is_refused() -> None:
    for wrong in ("ftp://host/x", "https://user:pw@host/", "https:///x", "https://host:0x/", "https://h/#s"):
        with pytest.raises(ValidationError):
            WebhookSettings.model_validate({"kind": "webhook", "url": wrong})
