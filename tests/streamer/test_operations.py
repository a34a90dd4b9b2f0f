"""What a daemon can be asked for: whatever the arguments are, there is one answer of one line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.api.apply_change import apply_change
from streamer.api.arguments import read_arguments
from streamer.api.callers import ROLES, Caller
from streamer.api.changes import AnyChange
from streamer.config.schema import ControlConfig
from streamer.config.store import ConfigStore
from streamer.daemon.operations import (
    OPERATIONS,
    Answer,
    NoArguments,
    Operation,
    SnapshotArguments,
    lookup,
    serve,
)
from streamer.daemon.supervisor import Supervisor
from streamer.errors import ConfigError, StreamerError
from tests.daemon import Daemon

DOOR = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]], "left_to_right": "in", "right_to_left": "out"}
ZONE = {"name": "hall", "points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}


class Asked:
    """A request; `answers` are what it got."""

    def __init__(self, op: str, args: dict[str, Any]) -> None:
        self.op, self.args = op, args
        self.caller = Caller(0)
        self.answers: list[Mapping[str, Any] | StreamerError] = []

    def reply(self, result: Mapping[str, Any]) -> None:
        self.answers.append(json.loads(json.dumps(dict(result))))

    def fail(self, error: StreamerError) -> None:
        self.answers.append(error)

    @property
    def refusal(self) -> str:
        (answer,) = self.answers
        assert isinstance(answer, StreamerError), answer
        return str(answer)


class Site:
    """A daemon without processes: changes go to the files of `store`."""

    def __init__(self, store: ConfigStore) -> None:
        self.store = store

    def status(self) -> dict[str, Any]:
        return {"cameras": []}

    @property
    def control(self) -> ControlConfig:
        return self.store.settings().control

    def change(self, wanted: AnyChange, caller: Caller) -> int:
        apply_change(self.store, wanted, caller)
        return 1

    def take_snapshot(self, camera: str, width: int, answer: Answer) -> None:
        self.store.load().known_camera(camera)
        answer.reply({"camera": camera, "width": width})


def new_site(folder: Path) -> Site:
    folder.mkdir(exist_ok=True)
    (folder / "streamer.yaml").write_text(f"state_dir: {folder}/state\nruntime_dir: {folder}/run\n")
    site = Site(ConfigStore(folder))
    ask(site, "change", {"op": "camera.put", "camera": {"name": "gate", "url": "synthetic:street"}})
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path / "config")


def ask(site: Site, op: str, args: dict[str, Any]) -> Asked:
    asked = Asked(op, args)
    serve(OPERATIONS, site, asked)
    return asked


REFUSED = [
    ("snapshot", {"camera": "gate", "width": "x"}, "width"),
    ("snapshot", {"camera": "gate", "width": "5"}, "width"),
    ("snapshot", {"camera": "gate", "width": 5.5}, "width"),
    ("snapshot", {"camera": "gate", "width": True}, "width"),
    ("snapshot", {"camera": "gate", "width": 1e20}, "width"),
    ("snapshot", {"camera": "gate", "width": 10**30}, "width"),
    ("snapshot", {"camera": "gate", "width": -1}, "width"),
    ("snapshot", {"camera": ["gate"]}, "camera"),
    ("snapshot", {"camera": "\ud800"}, "JSON"),
    ("snapshot", {"camera": "gate", "height": 5}, "height: unknown key"),
    ("snapshot", {"camera": "gate", "a\nb\x1b[31m": 5}, "unknown key"),
    ("snapshot", {}, "camera"),
    ("ping", {"x": 1}, "x: unknown key"),
    ("status", {"camera": "gate"}, "camera: unknown key"),
    ("nothing", {}, "unknown request 'nothing'"),
    ("change", {}, "'op'"),
    ("change", {"op": "a\nb"}, "op"),
    ("change", {"op": ["camera.set"]}, "op"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"rules.limits": 5}}, "rules.limits"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"rules": 5}}, "rules"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"rules": {"limits": 5}}}, "rules.limits"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"source": None, "source.fps": {}}}, "fps"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"rules.lines.0": 5}}, "rules.lines"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"": 5}}, "unknown key"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"model": "/a\0b.onnx"}}, "model"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"actions": "/a\0b.onnx"}}, "actions"),
    ("change", {"op": "camera.set", "name": "gate", "values": {"scene.model": "/a\0b.onnx"}}, "model"),
    ("change", {"op": "camera.set", "name": "gate", "password": "x" * 5000}, "password"),
    ("change", {"op": "camera.set", "name": "gate", "values": {f"k{i}": i for i in range(999)}}, "values"),
    ("change", {"op": "camera.set", "name": 5}, "name"),
    ("change", {"op": "camera.put", "camera": {"name": "b", "url": "synthetic:x"}, "replace": 1}, "replace"),
    (
        "change",
        {"op": "line.put", "camera": "gate", "line": {**DOOR, "points": [["0.1", 0], [1, 1]]}},
        "points[0][0]",
    ),
    ("change", {"op": "line.put", "camera": "gate", "line": None}, "line"),
]


@pytest.mark.parametrize(("op", "args", "words"), REFUSED)
def test_bad_arguments_are_refused_in_one_line_that_names_them(
    site: Site, op: str, args: dict[str, Any], words: str
) -> None:
    refusal = ask(site, op, args).refusal
    assert words in refusal
    assert refusal.isprintable()


def test_rules_that_are_set_to_nothing_are_the_default_again(site: Site) -> None:
    ask(site, "change", {"op": "line.put", "camera": "gate", "line": DOOR})
    asked = ask(site, "change", {"op": "camera.set", "name": "gate", "values": {"rules": None}})
    assert asked.answers == [{"config_rev": 1}]
    assert site.store.load().cameras[0].rules.lines == ()


def test_good_arguments_reach_the_operation_as_what_they_are(site: Site) -> None:
    assert ask(site, "snapshot", {"camera": "gate", "width": 640}).answers == [
        {"camera": "gate", "width": 640}
    ]
    assert read_arguments(SnapshotArguments, {"camera": "gate"}).width == 0


def test_every_operation_says_who_may_ask_and_refuses_what_it_does_not_know() -> None:
    for name in OPERATIONS:
        operation = lookup(OPERATIONS, name)
        assert operation.role in ROLES, name
        with pytest.raises(ConfigError):
            read_arguments(operation.arguments, {"no such argument": 1})
    assert lookup(OPERATIONS, "change").role == "operator"
    assert lookup(OPERATIONS, "snapshot").role == "admin", "pictures are a right of their own"


# ---- any arguments

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["gate", "door", "", "\0", "..", "5", "1e999", 10**400, 1e20, -1]),
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
TEMPLATES: list[tuple[str, dict[str, Any]]] = [
    ("ping", {}),
    ("status", {}),
    ("snapshot", {"camera": "gate", "width": 640}),
    (
        "change",
        {"op": "camera.put", "camera": {"name": "b", "url": "synthetic:x", "rules": {"lines": [DOOR]}}},
    ),
    ("change", {"op": "camera.put", "camera": {"name": "gate", "url": "synthetic:x"}, "replace": True}),
    ("change", {"op": "camera.set", "name": "gate", "values": {"source.fps": 5, "rules.limits": {}, "x": 1}}),
    ("change", {"op": "camera.set", "name": "gate", "values": {"rules": None, "source": None}}),
    ("change", {"op": "camera.set", "name": "gate", "values": {"url": "rtsp://u:p@h/x"}, "password": "p"}),
    ("change", {"op": "camera.rename", "name": "gate", "to": "b"}),
    ("change", {"op": "camera.disable", "name": "gate"}),
    ("change", {"op": "line.put", "camera": "gate", "line": DOOR}),
    ("change", {"op": "zone.put", "camera": "gate", "zone": ZONE, "replace": True}),
    ("change", {"op": "mask.put", "camera": "gate", "mask": ZONE}),
    ("change", {"op": "line.remove", "camera": "gate", "name": "door"}),
]
SETTABLE = [
    *("url", "enabled", "pipeline", "model", "actions", "actions_pause_s", "name", "scene", "scene.model"),
    *(
        "source",
        "source.fps",
        "source.loop",
        "source.analysis_width",
        "source.fps.x",
        "rules",
        "rules.limits",
    ),
    *("rules.limits.person", "rules.limits.person.min_score", "rules.classes", "rules.lines", "rules.zones"),
    *("rules.queues", "rules.calibration", "rules.heatmaps", ".", "..", "rules."),
]


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The way to everything in `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        yield from ((key, *place) for place in places(inner))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A request that is right but for a few of its values."""
    if draw(st.booleans()):
        values = draw(
            st.dictionaries(st.sampled_from(SETTABLE) | st.text(max_size=5), json_values, max_size=3)
        )
        return "change", {"op": "camera.set", "name": "gate", "values": values}
    op, template = draw(st.sampled_from(TEMPLATES))
    args: dict[str, Any] = json.loads(json.dumps(template))
    for _ in range(draw(st.integers(0, 2))):
        known = list(places(args))
        *way, last = draw(st.sampled_from(known)) if known else ("extra",)
        inner: Any = args
        for step in way:
            inner = inner[step]
        inner[last] = draw(json_values)
    return op, args


@settings(max_examples=300, deadline=None)
@given(requests())
def test_whatever_is_asked_there_is_one_answer_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, request: tuple[str, dict[str, Any]]
) -> None:
    site = new_site(tmp_path_factory.mktemp("any") / "config")
    op, args = request
    asked = ask(site, op, args)  # raises what nobody foresaw
    (answer,) = asked.answers
    if isinstance(answer, StreamerError):
        assert str(answer).isprintable(), repr(str(answer))
    site.store.load()  # and what was written can be read


# ---- faults of an operation


def failing(error: Exception) -> Callable[[Any, Any, Answer], None]:
    def run(_daemon: Any, _arguments: Any, _answer: Answer) -> None:
        raise error

    return run


def test_an_operation_that_fails_unforeseen_is_answered_and_its_fault_goes_on_to_the_caller(
    site: Site,
) -> None:
    asked = Asked("odd", {})
    with pytest.raises(KeyError):
        serve({"odd": Operation(NoArguments, failing(KeyError("what")))}, site, asked)
    assert "a fault of the daemon" in asked.refusal


def test_the_supervisor_s_loop_outlives_it_and_logs_it_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    operations = {"odd": Operation(NoArguments, failing(KeyError("what")))}
    supervisor = Supervisor(site.store, operations)
    asked = [Asked("odd", {}) for _ in range(3)]
    with caplog.at_level(logging.ERROR):
        for request in asked:
            with supervisor._guard("request"):
                supervisor._answer(request)  # type: ignore[arg-type]
    assert all("a fault of the daemon" in one.refusal for one in asked)
    (record,) = caplog.records
    assert record.exc_info
    assert supervisor._guard.counts == {"request": 3}


@pytest.mark.integration
@pytest.mark.usefixtures("redis_binary")
def test_a_running_daemon_answers_every_bad_request_and_goes_on(short_dir: Path) -> None:
    from streamer.api.control_socket import call
    from streamer.errors import ControlError

    camera = {"name": "gate", "url": "synthetic:street"}
    daemon = Daemon(short_dir, [camera], inference={"engine": "motion"})
    try:
        daemon.start()
        pid = daemon.status()["pid"]
        for op, args, _ in REFUSED:
            if "\ud800" in str(args.get("camera")) or op == "nothing":
                continue
            with pytest.raises(ControlError):
                call(daemon.runtime_dir / "control.sock", op, args)
        set_to_nothing = {"op": "camera.set", "name": "gate", "values": {"rules": None}}
        call(daemon.runtime_dir / "control.sock", "change", set_to_nothing)
        status = daemon.status()
        assert (status["pid"], status["warnings"]) == (pid, [])
        slow = {"op": "camera.set", "name": "gate", "values": {"source.fps": 0.2}}
        call(daemon.runtime_dir / "control.sock", "change", slow)
        (warning,) = daemon.status()["warnings"]
        assert "at 0.2 frames a second" in warning
        assert daemon.stop() == 0
    finally:
        daemon.kill()
