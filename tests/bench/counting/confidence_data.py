"""What the confidence of counts is fitted on: crossings with their signs and whether they were right.

A crossing is right where it matches a true one (pipelines/evaluate/crossings.py, 1 s). The scenes are the
public sequences at three rates, simulated detectors on their truth, and drawn scenes. All that is seen of one
public scene is one fold, and a tenth of the drawn ones is another. A watch is one scene as one detector sees
it at one rate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.count import CameraCounts
from pipelines.count.confidence import Judgement, sign_values
from pipelines.count.signs import CrossingSigns
from pipelines.evaluate.crossings import Crossing, compare
from pipelines.events import LINE_CROSSED
from tests.bench.counting.data import GROUPS, Sequence, corpus, load, true_crossings
from tests.bench.counting.drawn import draw
from tests.bench.counting.ours import LABELS, LINES, track
from tests.bench.counting.simulated import simulate
from tests.bench.registry import Unavailable

RATES = (1, 2, 4)
DRAWN = "drawn"
DRAWN_FOLDS = 10
AT_ONCE = 10  # drawn scenes that are kept together


@dataclass(frozen=True, slots=True)
class CountedCrossing:
    """`values` are its signs as the regression takes them (sign_values)."""

    line: str
    direction: str
    time_s: float
    right: bool
    values: list[float]


@dataclass(frozen=True, slots=True)
class Watch:
    """`true` are (line, direction, time_s)."""

    kind: str
    group: str
    scene: str
    moving: bool
    length_s: float
    true: list[tuple[str, str, float]]
    counted: list[CountedCrossing]

    @property
    def fold(self) -> str:
        """What is left out together."""
        if self.kind != DRAWN:
            return self.scene
        return f"{DRAWN} {int(self.scene.rpartition('-')[2]) % DRAWN_FOLDS}"


def watches(detectors: int, drawn: int, cache: str = "") -> list[Watch]:
    """Of all scenes, with so many simulated detectors each, and of so many drawn ones; kept in the folder
    `cache`, piece by piece, where one is given. Raises Unavailable."""
    root = corpus()
    if root is None:
        raise Unavailable("the corpus is not here: set STREAMER_CORPUS to its folder")
    scenes = [sequence for group in GROUPS for sequence in load(group, root)]
    found = _kept(cache, "public", partial(_public, scenes))
    for seed in range(detectors):
        found += _kept(cache, f"simulated-{seed}", partial(_simulated, scenes, seed))
    for first in range(0, drawn, AT_ONCE):
        found += _kept(cache, f"drawn-{first}", partial(_drawn, first))
    return found


def long_watches(drawn: int, seconds: float, cache: str = "") -> list[Watch]:
    """Of so many drawn scenes, each of that length: hours of one camera, of which some can be audited and
    others judged. They are of the folds of the short ones of their seeds."""
    found = []
    for first in range(0, drawn, AT_ONCE):
        name = f"long-{seconds:g}-{first}"
        found += _kept(cache, name, partial(_drawn, first, min(AT_ONCE, drawn - first), seconds))
    return found


def _public(scenes: list[Sequence]) -> Iterator[Watch]:
    for scene in scenes:
        for step in RATES:
            yield _watch("public", scene, scene.name, step)


def _simulated(scenes: list[Sequence], seed: int) -> Iterator[Watch]:
    for scene in scenes:
        yield _watch("simulated", simulate(scene, seed), scene.name, RATES[seed % len(RATES)])


def _drawn(first: int, count: int = AT_ONCE, seconds: float | None = None) -> Iterator[Watch]:
    for seed in range(first, first + count):
        scene = draw(seed, seconds)
        yield _watch(DRAWN, scene, f"{DRAWN}-{seed}", RATES[seed % len(RATES)])


def _kept(cache: str, name: str, make: Callable[[], Iterator[Watch]]) -> list[Watch]:
    path = Path(cache) / f"confidence-{name}.json"
    if cache and path.is_file():
        return [_restored(row) for row in json.loads(path.read_text())]
    found = list(make())
    if cache:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(watch) for watch in found]))
    return found


def _restored(row: dict[str, Any]) -> Watch:
    row["counted"] = [CountedCrossing(**crossing) for crossing in row["counted"]]
    row["true"] = [(line, direction, time_s) for line, direction, time_s in row["true"]]
    return Watch(**row)


def _watch(kind: str, sequence: Sequence, scene: str, step: int) -> Watch:
    true = true_crossings(sequence)
    counted, values = _count(sequence, step)
    right = {id(mine) for _, mine in compare(true, counted).matched}
    return Watch(
        kind=kind,
        group=sequence.group,
        scene=scene,
        moving=sequence.moving,
        length_s=sequence.time_s(sequence.last_frame + 1),
        true=[(c.line, c.direction, c.time_s) for c in true],
        counted=[
            CountedCrossing(c.line, c.direction, c.time_s, id(c) in right, of_it)
            for c, of_it in zip(counted, values, strict=True)
        ],
    )


def _count(sequence: Sequence, step: int) -> tuple[list[Crossing], list[list[float]]]:
    """The crossings of both lines in the order in which they were decided, and the signs of each."""
    values: list[list[float]] = []

    def note(signs: CrossingSigns) -> Judgement:
        values.append(sign_values(signs))
        return Judgement(0.5, 1.0)

    counts = CameraCounts(LINES, LABELS, note)
    frames = track(sequence, step)
    events = [event for _, stamp, tracks in frames for event in counts.update(stamp, tracks)]
    events += counts.close(frames[-1][1])
    crossed = [e for e in events if e.type == LINE_CROSSED]
    return [
        Crossing(e.subject.upper(), e.data["direction"], e.data["crossed_media_ns"] / 1e9) for e in crossed
    ], values
