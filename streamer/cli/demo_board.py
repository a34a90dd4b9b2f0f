"""What the demo shows: the numbers that came on the stream, the scene's truth beside them, as a table."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipelines.events import ACTION_DETECTED, LINE_CROSSED
from pipelines.rules import LineSpec
from streamer.cli.demo_actions import ActionBoard
from streamer.events.cloudevents import CAMERA_STATE, COUNTS, parse_rfc3339_ns
from streamer.sources.synthetic import Scene
from streamer.sources.synthetic.truth import CrossingTruth, TrueCrossing

CLEAR_S = 1.0  # no true crossing this near to the begin or end of the comparison
LATEST = 6
Cell = tuple[str, str, str]  # line, group or class, direction
VEHICLES = ("car", "van", "bus", "truck")


class Truth:
    """The scene's own account, by media time. `motion` sees objects: a rider and a bicycle are one."""

    def __init__(self, scene: Scene, line: LineSpec, motion: bool) -> None:
        self._truth = CrossingTruth(scene, [line])
        self._motion = motion
        self._known: list[TrueCrossing] = []

    def counts(self, from_s: float, until_s: float) -> Counter[Cell]:
        return Counter(
            (c.line, self._group(c), c.direction)
            for c in self.crossings_until(until_s + CLEAR_S)
            if from_s <= c.time_s < until_s and not (self._motion and c.rides)
        )

    def clear_after(self, media_s: float) -> float:
        """The first moment from `media_s` on that is CLEAR_S away from any crossing."""
        for crossing in sorted(self.crossings_until(media_s + 30), key=lambda c: c.time_s):
            if abs(crossing.time_s - media_s) < CLEAR_S:
                media_s = crossing.time_s + CLEAR_S
        return media_s

    def clear_before(self, media_s: float) -> float:
        """The last moment up to `media_s` that is CLEAR_S away from any crossing."""
        for crossing in sorted(self.crossings_until(media_s + CLEAR_S), key=lambda c: -c.time_s):
            if abs(crossing.time_s - media_s) < CLEAR_S:
                media_s = crossing.time_s - CLEAR_S
        return media_s

    def crossings_until(self, media_s: float) -> list[TrueCrossing]:
        """All that is known; at least what has happened up to `media_s`."""
        self._known.extend(self._truth.until(media_s))
        return self._known

    def _group(self, crossing: TrueCrossing) -> str:
        if self._motion:
            return "object"
        return "vehicle" if crossing.kind in VEHICLES else crossing.kind


@dataclass
class Board:
    """Fed with CloudEvents; `from_s` is the media time at which the comparison with the truth begins."""

    truth: Truth | None = None
    actions: ActionBoard | None = None
    from_s: float = 0.0
    entries: int = 0
    decoded: int = 0
    inferred: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    age_ms: dict[str, float | None] = field(default_factory=dict)
    delay_ms: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    state: str = "connecting"
    start_wall_ns: int | None = None  # the wall clock at media time 0
    crossings: list[dict[str, Any]] = field(default_factory=list)
    latest: deque[tuple[float, str, str, str]] = field(default_factory=lambda: deque(maxlen=LATEST))
    stream: str = ""

    def take(self, body: str, now_ns: int) -> None:
        """Count in one event of the stream, which was read at wall clock `now_ns`."""
        event = json.loads(body)
        data = event["data"]
        self.entries += 1
        if event["type"] == LINE_CROSSED:
            self.crossings.append(data)
            what = f"{data['direction']}, age of its frame {data['age_ms']:.0f} ms"
            self.latest.append((data["crossed_media_ns"] / 1e9, data["class"], _track(data), what))
            at_ns = parse_rfc3339_ns(event["time"])
            self.start_wall_ns = at_ns - data["media_ns"]
            self.delay_ms.append((now_ns - at_ns) / 1e6)
        elif event["type"] == ACTION_DETECTED and self.actions is not None:
            told = self.actions.take(data)
            what = told.label + {True: ", as drawn", False: ", who does something else", None: ""}[told.right]
            self.latest.append((told.at_s, data["class"], _track(data), what))
        elif event["type"] == COUNTS:
            frames = data["frames"]
            self.decoded += frames["decoded"]
            self.inferred += frames["inferred"]
            self.dropped.update(frames["dropped"])
            if data["age_ms"]["p50"] is not None:
                self.age_ms = data["age_ms"]
        elif event["type"] == CAMERA_STATE:
            self.state = data.get("state", self.state)
            if self.state == "live" and self.start_wall_ns is None:
                self.start_wall_ns = parse_rfc3339_ns(event["time"])

    def media_s(self, wall_ns: int) -> float:
        """The scene's time at `wall_ns`."""
        return (wall_ns - self.start_wall_ns) / 1e9 if self.start_wall_ns is not None else 0.0

    def counted(self, until_s: float = float("inf")) -> Counter[Cell]:
        return Counter(
            (c["line"], c["group"], c["direction"])
            for c in self.crossings
            if self.from_s <= c["crossed_media_ns"] / 1e9 < until_s
        )

    # ---- as a person reads it

    def table(self, now_ns: int, left_s: float) -> RenderableType:
        until_s = self.media_s(now_ns)
        parts = [self._head(left_s), self.counts(until_s), *self._actions(until_s), self._latest()]
        return Group(*parts)

    def _actions(self, until_s: float) -> list[RenderableType]:
        return [] if self.actions is None else [self.actions.table(self.from_s, until_s)]

    def line(self, now_ns: int, left_s: float) -> str:
        """The same in one line, for a log."""
        counted = self.counted()
        truth = self.truth.counts(self.from_s, self.media_s(now_ns)) if self.truth else Counter()
        cells = [
            f"{group} {direction} {counted[line, group, direction]}"
            + (f" (truth {truth[line, group, direction]})" if self.truth else "")
            for line, group, direction in sorted(counted.keys() | truth.keys())
        ]
        age = self.age_ms.get("p50")
        shown = "-" if age is None else f"{age:.0f} ms"
        acts = f"; {self.actions.line(self.from_s, self.media_s(now_ns))}" if self.actions is not None else ""
        return (
            f"{max(0.0, left_s):4.0f} s left: {self.state}, {self.inferred} frames inferred, "
            f"frame age {shown}, {self.entries} events; {', '.join(cells) or 'no crossing yet'}{acts}"
        )

    def final(self, until_s: float) -> RenderableType:
        """Counts and truth of exactly the same span of the scene's time."""
        return Group(self.counts(until_s, cut=True), *self._actions(until_s))

    def counts(self, until_s: float, cut: bool = False) -> Table:
        """Counted beside true, up to the media time `until_s`; `cut`: the counts no further either."""
        counted = self.counted(until_s) if cut else self.counted()
        truth: Counter[Cell] = Counter()
        table = Table("line", "class", "direction", title="Counted on the Redis stream", title_justify="left")
        table.add_column("counted", justify="right", style="bold green")
        if self.truth is not None:
            truth = self.truth.counts(self.from_s, until_s)
            table.add_column("truth of the scene", justify="right")
        for line, group, direction in sorted(counted.keys() | truth.keys()):
            row = [line, group, direction, str(counted[line, group, direction])]
            table.add_row(*row, *([str(truth[line, group, direction])] if self.truth else []))
        if not counted and not truth:
            table.add_row("", "nothing has crossed yet", "", "")
        return table

    def _head(self, left_s: float) -> Text:
        age, worst = self.age_ms.get("p50"), self.age_ms.get("p99")
        dropped = ", ".join(f"{n} {why}" for why, n in self.dropped.items() if n) or "none"
        ages = (
            "-" if age is None else f"{age:.0f} ms" + (f" (p99 {worst:.0f} ms)" if worst is not None else "")
        )
        delays = sorted(self.delay_ms)
        delay = f"{delays[len(delays) // 2]:.0f} ms" if delays else "-"
        return Text.assemble(
            ("camera ", "dim"), self.state, ("   frames inferred ", "dim"), str(self.inferred),
            ("   dropped ", "dim"), dropped, ("   frame age ", "dim"), ages,
            ("\nevents on the stream ", "dim"), str(self.entries),
            ("   frame captured to event read ", "dim"), delay,
            ("   time left ", "dim"), f"{max(0.0, left_s):.0f} s", "\n",
        )  # fmt: skip

    def _latest(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for at_s, kind, track, what in reversed(self.latest):
            table.add_row(Text(f"{at_s:7.2f} s", style="dim"), kind, track, what)
        return table


def _track(data: dict[str, Any]) -> str:
    return f"track {data['track_id']}"
