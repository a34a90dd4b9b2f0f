"""The whole machine on one page: which processes there are for a configuration, and who has which camera.

    redis ── deliver ── infer-0 … infer-N ── capture-0 … capture-M

`plan` is a pure function. It moves no camera that can stay where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from streamer.config.schema import Config

Role = Literal["redis", "deliver", "infer", "capture"]
START_ORDER: tuple[Role, ...] = ("redis", "deliver", "infer", "capture")
STOP_ORDER: tuple[Role, ...] = ("capture", "infer", "deliver", "redis")


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One process: its name, what it does, and the cameras it does it for."""

    name: str
    role: Role
    cameras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Every worker by name, and where each enabled camera is captured and inferred."""

    workers: Mapping[str, WorkerSpec]
    capture_of: Mapping[str, str]
    infer_of: Mapping[str, str]


NOTHING = Plan({}, {}, {})


def plan(
    config: Config,
    before: Plan = NOTHING,
    alone: frozenset[str] = frozenset(),
    misconfigured: Iterable[str] = (),
    freed: frozenset[str] = frozenset(),
) -> Plan:
    """Place the enabled cameras of `config`, and those that are `misconfigured`: nothing captures them, and
    an inference worker tells their state.

    `before` is the plan in force: a camera stays with its workers where they still exist. `alone` are the
    cameras in quarantine, each captured by a process of its own; the `freed` leave it and are captured where
    there is a place for a new one.
    """
    stay = {camera: worker for camera, worker in before.capture_of.items() if camera not in freed}
    cameras = [c.name for c in config.cameras if c.enabled]
    capture_of = _place_capture(cameras, stay, alone, config.capture.cameras_per_worker)
    told = sorted((*cameras, *misconfigured))
    infer_of = _place_infer(told, before, config.inference.workers)
    workers: dict[str, WorkerSpec] = {}
    if config.private_redis is not None:
        workers["redis"] = WorkerSpec("redis", "redis")
    workers["deliver"] = WorkerSpec("deliver", "deliver")
    for index in range(config.inference.workers):
        name = f"infer-{index}"
        workers[name] = WorkerSpec(name, "infer", tuple(c for c in told if infer_of[c] == name))
    for name in sorted(set(capture_of.values()), key=_index):
        workers[name] = WorkerSpec(name, "capture", tuple(c for c in cameras if capture_of[c] == name))
    return Plan(workers, capture_of, infer_of)


def _place_capture(
    cameras: list[str], before: Mapping[str, str], alone: frozenset[str], most: int
) -> dict[str, str]:
    placed: dict[str, str] = {}
    load: dict[str, list[str]] = {}
    for camera in cameras:  # first those that can stay
        worker = before.get(camera)
        if worker is None:
            continue
        mates = load.setdefault(worker, [])
        if len(mates) < most and not (mates and (camera in alone or alone.intersection(mates))):
            mates.append(camera)
            placed[camera] = worker
    for camera in cameras:
        if camera in placed:
            continue
        open_to = [w for w, mates in load.items() if 0 < len(mates) < most and not alone.intersection(mates)]
        worker = _unused(load) if camera in alone or not open_to else min(open_to, key=_index)
        load.setdefault(worker, []).append(camera)
        placed[camera] = worker
    return placed


def _place_infer(cameras: list[str], before: Plan, count: int) -> dict[str, str]:
    load: dict[str, int] = {f"infer-{i}": 0 for i in range(count)}
    placed: dict[str, str] = {}
    for camera in cameras:
        worker = before.infer_of.get(camera, "")
        if worker in load:
            placed[camera] = worker
            load[worker] += 1
    for camera in cameras:
        if camera not in placed:
            worker = min(load, key=lambda name: (load[name], _index(name)))
            placed[camera] = worker
            load[worker] += 1
    return placed


def _unused(load: Mapping[str, list[str]]) -> str:
    index = 0
    while load.get(f"capture-{index}"):
        index += 1
    return f"capture-{index}"


def _index(worker: str) -> int:
    return int(worker.rsplit("-", 1)[1])
