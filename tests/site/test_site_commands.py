"""`streamer counts --site` and `streamer ledger replay` on ledgers and streams of a site."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.config.schema import LEDGER_FILE
from streamer.daemon.camera_terms import CameraTerms, TermArguments
from streamer.errors import Exit
from streamer.events.cloudevents import COUNT_CORRECTED, COUNTS, rfc3339
from streamer.ipc.messages import EventRecord
from streamer.ipc.redis_keys import events_key, term_events_key
from streamer.ledger import Ledger
from streamer.sinks.redis_connection import connect
from streamer.site.terms import next_term
from tests.redis_servers import Node, free_port, until

pytestmark = pytest.mark.integration

S = 1_000_000_000
T0 = 1_800_000_000 * S
MINUTE = rfc3339(T0)[:16].replace("T", " ")
Run = Callable[..., Result]


def record(seq: int, kind: str, at_s: float, data: dict[str, Any], term: int) -> EventRecord:
    stamp = {"site": "shop", "term": term} if term else {}
    at_ns = T0 + int(at_s * S)
    return EventRecord("gate", seq, kind, "door", 1, seq, 0, at_ns, 0.0, 1, {**data, **stamp})


def crossing(seq: int, at_s: float, term: int) -> EventRecord:
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq}
    moment = {"crossed_captured_ns": T0 + int(at_s * S)}
    return record(seq, "streamer.line.crossed.v1", at_s + 0.5, {**data, **moment}, term)


def bucket(seq: int, begin_s: int, end_s: int, term: int, crossed: int) -> EventRecord:
    spent = {
        "seen_s": float(end_s - begin_s),
        "gated_s": 0.0,
        "dropped_s": 0.0,
        "offline_s": 0.0,
        "unknown_s": 0.0,
    }
    times = {"start_ns": T0 + begin_s * S, "end_ns": T0 + end_s * S, "bucket_s": 60}
    lines = {"door": {"in": {"person": crossed}}} if crossed else {}
    rest = {"zones": {}, "blind": {}, "moved_s": 0.0, "frames": {"decoded": 9, "inferred": 9}, "flags": []}
    return record(seq, COUNTS, end_s, {**times, "lines": lines, "coverage": spent, **rest}, term)


def correction(seq: int, at_s: float, term: int) -> EventRecord:
    of = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "amount": 2}
    return record(seq, COUNT_CORRECTED, at_s, {**of, "at_ns": T0 + 5 * S, "reason": "r", "by": "b"}, term)


class Box:
    """A box that is switched off: its configuration, its ledger, and which terms its camera had."""

    def __init__(self, folder: Path, node: str, redis_url: str) -> None:
        self.config, self.state = folder / "config", folder / "state"
        self.config.mkdir(parents=True)
        (folder / "run").mkdir()
        folders = {"state_dir": str(self.state), "runtime_dir": str(folder / "run"), "timezone": "UTC"}
        text = yaml.safe_dump({**folders, "sinks": [{"kind": "redis", "url": redis_url}]})
        (self.config / "streamer.yaml").write_text(text)
        self.node = node

    def has_made(self, records: list[EventRecord], *terms: int) -> None:
        ledger = Ledger(self.state / LEDGER_FILE, self.node, max_bytes=1 << 28, retention_days=36500)
        ledger.replace_sinks(["redis"])
        ledger.commit(records)
        ledger.close()
        for term in terms:
            CameraTerms(self.state).take(TermArguments(site="shop", camera="gate", term=term, owned=True))

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(self.config), *args])

    def deliver(self, *options: str) -> dict[str, Any]:
        done = self.run("ledger", "replay", "redis", "--json", *options)
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def server(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Cluster of one node."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    node = Node(redis_binary, tmp_path_factory.mktemp("redis"), *options)
    node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    serves = re.compile(r"cluster_state\W+ok")
    until(lambda: serves.search(str(node.ask("CLUSTER", "INFO"))), "that the Cluster serves")
    yield f"redis+cluster://127.0.0.1:{node.port}"
    node.kill()


@pytest.fixture
def redis(server: str) -> Iterator[Any]:
    client = connect(server)
    client.flushall(target_nodes="primaries")
    yield client
    client.close()


@pytest.fixture
def boxes(server: str, redis: Any, tmp_path: Path) -> list[Box]:
    """Box a had the camera until second 90 and was cut off; box b has it since. A bucket reaches over it."""
    a, b = Box(tmp_path / "a", "node-a", server), Box(tmp_path / "b", "node-b", server)
    next_term(redis, "shop", "gate", "node-a", T0)
    next_term(redis, "shop", "gate", "node-b", T0 + 90 * S)
    alone, cut_off = crossing(1, -30, 0), crossing(6, 100, 1)
    own = [alone, crossing(2, 10, 1), crossing(3, 20, 1), bucket(4, 0, 60, 1, 2), crossing(5, 70, 1), cut_off]
    a.has_made([*own, bucket(7, 60, 120, 1, 2)], 1)
    b.has_made([crossing(1, 101, 2), bucket(2, 95, 120, 2, 1), correction(3, 130, 2)], 2)
    return [a, b]


def counted(box: Box, *options: str) -> Result:
    done = box.run("counts", "--site", "shop", "--since", "all", *options)
    assert done.exit_code == 0, done.output
    return done


def test_counts_of_a_site_are_those_of_each_moments_owner(boxes: list[Box]) -> None:
    for box in boxes:
        box.deliver()
    done = counted(boxes[0], "--by", "minute,name", "--json")
    document = json.loads(done.stdout)
    first, second = document["counts"]
    assert (first["minute"], first["count"], first["corrected"]) == (MINUTE, 4, 2)
    assert second["count"] == 2
    assert second["blind"] == {"moved_box": pytest.approx(5)}
    assert second["seen_s"] + second["blind_s"] == pytest.approx(60)
    assert sum(document["coverage"]["gate"].values()) == pytest.approx(120)
    assert "gate: 1 were counted by a box while another owned the camera" in done.stderr


def test_counts_of_a_site_as_csv_and_for_people(boxes: list[Box]) -> None:
    for box in boxes:
        box.deliver()
    rows = list(csv.DictReader(io.StringIO(counted(boxes[1], "--by", "name,hour", "--csv").stdout)))
    assert [(row["name"], row["count"], float(row["moved_box_s"])) for row in rows] == [("door", "6", 5.0)]
    table = counted(boxes[1], "--by", "camera,minute")
    assert "moved_box 8%" in table.stdout
    assert "gate: seen 95.8 % of 120 s in closed buckets" in table.stderr


def test_a_camera_of_which_nothing_was_delivered_is_named(boxes: list[Box]) -> None:
    done = counted(boxes[0])
    assert "gate: nothing of it has come to the site's Redis in this time" in done.stderr


def test_a_box_that_delivers_late_changes_only_what_was_its_own(boxes: list[Box]) -> None:
    boxes[1].deliver()
    early = json.loads(counted(boxes[1], "--json").stdout)
    assert early["total"]["count"] == 3  # one, and a correction of two
    boxes[0].deliver()
    assert json.loads(counted(boxes[1], "--json").stdout)["total"]["count"] == 6


@pytest.mark.parametrize("options", [(), ("--rebuild",)])
def test_sending_again_without_a_daemon_puts_each_event_under_its_own_term(
    boxes: list[Box], redis: Any, options: tuple[str, ...]
) -> None:
    a = boxes[0]
    a.deliver()
    again = a.deliver(*options)
    assert again["repeated"] == (0 if options else 7)
    for key, numbers in (
        (events_key("node-a", "gate"), [1]),
        (term_events_key("shop", "gate", 1), range(2, 8)),
    ):
        assert [int(i.decode().split("-")[1]) for i, _ in redis.xrange(key)] == list(numbers)


def test_a_bucket_whose_crossings_were_trimmed_is_not_taken_for_seen(boxes: list[Box], redis: Any) -> None:
    boxes[0].deliver()
    key = term_events_key("shop", "gate", 1)
    redis.xtrim(key, minid=redis.xrange(key)[1][0], approximate=False)
    document = json.loads(counted(boxes[0], "--json").stdout)
    assert sum(document["coverage"]["gate"].values()) == pytest.approx(
        30
    )  # of the second minute what was its


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--site",), Exit.CONFIG, "this box is in no site: name one"),
        (("--site", "mall"), Exit.CONFIG, "knows no camera of site 'mall'"),
        (("--site", "shop", "--camera", "yard"), Exit.CONFIG, "has no camera 'yard'; known: gate"),
    ],
)
def test_what_there_is_not_is_told_in_one_line(
    boxes: list[Box], args: tuple[str, ...], code: Exit, said: str
) -> None:
    done = boxes[0].run("counts", *args)
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
