"""The webhook sink with `batch`, through a real delivery worker against a server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from streamer.sinks.signatures import signature_headers, signing_keys
from tests.faults.delivery_rig import NODE, Rig
from tests.streamer.sinks.test_webhook import SECRET, all_delivered, sink_at
from tests.webhook_server import Hook, Request, answer, take_and_cut, webhook

pytestmark = pytest.mark.integration


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def rig(short_dir: Path, hook: Hook) -> Iterator[Rig]:
    rig = Rig(short_dir, cameras=("gate",))
    rig.sinks = (sink_at(hook.url, timeout_s=1.0, max_tries=2, batch=4, batch_wait_s=0.5),)
    rig.start_delivery()
    rig.resume()
    yield rig
    rig.close()


def refuse(*poisoned: int) -> object:
    """A server that refuses what holds one of these events, and takes nothing of it."""

    def reply(hook: Hook, connection: socket.socket, request: Request) -> None:
        if set(poisoned) & set(request.seqs):
            answer(connection, 422)
        else:
            hook.take(connection, request)

    return reply


def test_events_come_in_batches_in_order_and_signed_over_the_whole_body(rig: Rig, hook: Hook) -> None:
    rig.count("gate", 10)
    rig.until(lambda: all_delivered(rig))
    assert [request.seqs for request in hook.taken] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    for request in hook.taken:
        assert request.headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
        ident, at_s = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
        wanted = signature_headers(signing_keys(SECRET), ident, at_s, request.body)
        assert request.headers["webhook-signature"] == wanted["webhook-signature"]
        assert ident == f"{request.batch[0]['id']}-{request.seqs[-1]}"
        assert ident.startswith(f"{NODE}/gate/")


def test_fewer_wait_for_others_and_go_when_the_worker_stops(rig: Rig, hook: Hook) -> None:
    rig.sinks = (sink_at(hook.url, batch=4, batch_wait_s=300),)
    rig.tell(rig.assignment(rev=2))
    rig.count("gate", 6)
    rig.until(lambda: hook.taken != [] and rig.status.get("ledger", {}).get("undelivered") == 2)
    assert [request.seqs for request in hook.taken] == [[1, 2, 3, 4]]
    assert rig.stop_delivery() == 0
    assert [request.seqs for request in hook.taken] == [[1, 2, 3, 4], [5, 6]]


def test_the_one_event_of_a_batch_that_is_refused_is_found_and_the_others_are_taken_in_order(
    rig: Rig, hook: Hook
) -> None:
    hook.reply = refuse(6)  # type: ignore[assignment]
    rig.count("gate", 12)
    rig.until(lambda: all_delivered(rig))
    assert list(chain.from_iterable(r.seqs for r in hook.taken)) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert [r.seqs for r in hook.requests].count([6]) == 2, "max_tries, by itself"
    rig.until(lambda: rig.status["sinks"]["webhook"]["dead_letters"] == 1)
    assert rig.status["sinks"]["webhook"]["batches_refused"] == 1


def test_a_batch_whose_answer_is_cut_comes_again_whole_under_the_same_id(rig: Rig, hook: Hook) -> None:
    def cut_the_first(hook: Hook, connection: socket.socket, request: Request) -> None:
        (Hook.take if hook.taken else take_and_cut)(hook, connection, request)

    hook.reply = cut_the_first
    rig.count("gate", 8)
    rig.until(lambda: all_delivered(rig))
    assert [request.seqs for request in hook.taken] == [[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert hook.taken[0].headers["webhook-id"] == hook.taken[1].headers["webhook-id"]


def test_a_server_that_is_away_holds_up_a_batch_and_splits_none(rig: Rig, hook: Hook) -> None:
    hook.reply = lambda _hook, connection, _request: answer(connection, 503)
    rig.count("gate", 4)
    rig.until(lambda: rig.status.get("sinks", {}).get("webhook", {}).get("state") == "down")
    hook.reply = Hook().reply
    rig.until(lambda: all_delivered(rig))
    assert {tuple(request.seqs) for request in hook.requests} == {(1, 2, 3, 4)}
