"""The whole machine on one page: which processes there are, and who has which camera.

    redis ── deliver ── infer-0 … infer-N ── capture-0 … capture-M        api, beside them

A new kind of process is its module and one line of PROCESSES. They start in the order of the table and stop
in the opposite order: who makes something stops before who takes it. `plan` is a pure function; it moves no
camera that can stay where it was.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping

from streamer.config.schema import Config
from streamer.daemon import redis_server
from streamer.daemon.assignments import (
    api_assignment,
    capture_assignment,
    capture_ended,
    clip_assignment,
    deliver_assignment,
    infer_assignment,
    infer_ended,
)
from streamer.daemon.process_spec import Placement, Plan, Process, WorkerSpec
from streamer.errors import RedisError


def one(_placement: Placement) -> dict[int, tuple[str, ...]]:
    return {0: ()}


def one_if_private(placement: Placement) -> dict[int, tuple[str, ...]]:
    """A Redis of our own, where a sink of kind redis names no other."""
    return {0: ()} if placement.config.private_redis is not None else {}


def one_if_listening(placement: Placement) -> dict[int, tuple[str, ...]]:
    """Off by default: nothing listens where streamer.yaml does not say so."""
    return {0: ()} if placement.config.api.listen is not None else {}


def one_if_clips(placement: Placement) -> dict[int, tuple[str, ...]]:
    """Off by default: no picture is kept where streamer.yaml does not say so."""
    return {0: ()} if placement.config.clips.enabled else {}


def by_inference_workers(placement: Placement) -> dict[int, tuple[str, ...]]:
    """As many as are configured, also those without a camera: they load nothing, and are there at once."""
    numbers = range(placement.config.inference.workers)
    return {i: _cameras_of(f"infer-{i}", placement.infer_of) for i in numbers}


def by_captured_cameras(placement: Placement) -> dict[int, tuple[str, ...]]:
    """As many as the enabled cameras take."""
    names = sorted(set(placement.capture_of.values()), key=_index)
    return {_index(name): _cameras_of(name, placement.capture_of) for name in names}


def private_redis(config: Config) -> list[str]:
    """Raises RedisError, also where one_if_private() says that there is none."""
    if config.private_redis is None:
        raise RedisError("no sink of kind redis is without a url")
    return redis_server.command(config.runtime_path, config.state_path, config.private_redis.max_memory_mb)


# Each process imports its own module alone: capture never a detector, delivery never a decoder.
PROCESSES: tuple[Process, ...] = (
    # Redis may write its file and delivery its ledger when the supervisor is killed; the others have nothing
    # to lose.
    Process("redis", private_redis, one_if_private, death_signal=signal.SIGTERM),
    Process(
        "deliver",
        "streamer.workers.deliver.worker:create",
        one,
        deliver_assignment,
        awaited=True,
        death_signal=signal.SIGTERM,
    ),
    Process(
        "infer-{i}",
        "streamer.workers.infer.worker:create",
        by_inference_workers,
        infer_assignment,
        on_exit=infer_ended,
        awaited=True,
    ),
    # Not awaited: a folder that cannot be written is no reason to count nothing. Before capture, so that it
    # is stopped after it.
    Process("clips", "streamer.workers.clips.worker:create", one_if_clips, clip_assignment),
    # Not awaited: a camera that is late is no reason to start the daemon again.
    Process(
        "capture-{i}",
        "streamer.workers.capture.worker:create",
        by_captured_cameras,
        capture_assignment,
        on_exit=capture_ended,
        exclusive=True,
    ),
    # Not awaited: a port that is taken is no reason to count nothing.
    Process("api", "streamer.workers.api.worker:create", one_if_listening, api_assignment),
)
NOTHING = Plan({}, {}, {})


def plan(
    config: Config,
    before: Plan = NOTHING,
    alone: frozenset[str] = frozenset(),
    misconfigured: Iterable[str] = (),
    freed: frozenset[str] = frozenset(),
) -> Plan:
    """Place the enabled cameras of `config`; of those that are `misconfigured`, which inference worker emits
    their state.

    `before` is the plan in force: a camera stays with its workers where they still exist. `alone` are the
    cameras in quarantine, each captured by a process of its own; the `freed` leave it and are captured where
    there is a place for a new one.
    """
    staying = {camera: worker for camera, worker in before.capture_of.items() if camera not in freed}
    cameras = [c.name for c in config.cameras if c.enabled]
    capture_of = _place_capture(cameras, staying, alone, config.capture.cameras_per_worker)
    numbered_by = _place_infer(
        sorted((*cameras, *misconfigured)),
        {**before.announced_by, **before.infer_of},
        config.inference.workers,
        config.journeys.cameras,
    )
    infer_of = {camera: worker for camera, worker in numbered_by.items() if camera in capture_of}
    announced_by = {camera: worker for camera, worker in numbered_by.items() if camera not in capture_of}
    placement = Placement(config, capture_of, infer_of)
    workers: dict[str, WorkerSpec] = {}
    for process in PROCESSES:
        for number, its_cameras in process.instances(placement).items():
            name = process.name.replace("{i}", str(number))
            workers[name] = WorkerSpec(name, process, its_cameras)
    return Plan(workers, capture_of, infer_of, announced_by)


def _place_capture(
    cameras: list[str], before: Mapping[str, str], alone: frozenset[str], capacity: int
) -> dict[str, str]:
    placed: dict[str, str] = {}
    load: dict[str, list[str]] = {}
    for camera in cameras:  # first those that can stay
        worker = before.get(camera)
        if worker is None:
            continue
        mates = load.setdefault(worker, [])
        if len(mates) < capacity and not (mates and (camera in alone or alone.intersection(mates))):
            mates.append(camera)
            placed[camera] = worker
    for camera in cameras:
        if camera in placed:
            continue
        open_workers = [
            w for w, mates in load.items() if 0 < len(mates) < capacity and not alone.intersection(mates)
        ]
        worker = _unused(load) if camera in alone or not open_workers else min(open_workers, key=_index)
        load.setdefault(worker, []).append(camera)
        placed[camera] = worker
    return {camera: placed[camera] for camera in cameras}


def _place_infer(
    cameras: list[str], before: Mapping[str, str], count: int, together: Iterable[str] = ()
) -> dict[str, str]:
    """The cameras `together` get one worker, where the first of them is: looks do not travel."""
    load: dict[str, int] = {f"infer-{i}": 0 for i in range(count)}
    one = {camera for camera in together if camera in cameras}
    if one:
        stays = next((before[c] for c in cameras if c in one and before.get(c) in load), "infer-0")
        before = {**before, **dict.fromkeys(one, stays)}
    placed: dict[str, str] = {}
    for camera in cameras:
        worker = before.get(camera, "")
        if worker in load:
            placed[camera] = worker
            load[worker] += 1
    for camera in cameras:
        if camera not in placed:
            worker = min(load, key=lambda name: (load[name], _index(name)))
            placed[camera] = worker
            load[worker] += 1
    return {camera: placed[camera] for camera in cameras}


def _unused(load: Mapping[str, list[str]]) -> str:
    index = 0
    while load.get(f"capture-{index}"):
        index += 1
    return f"capture-{index}"


def _index(worker: str) -> int:
    return int(worker.rsplit("-", 1)[1])


def _cameras_of(worker: str, placed: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(camera for camera, name in placed.items() if name == worker)
