"""Sixteen cameras 1080p25 on two cores: whether the counts are those of every frame, and what bounds it.

A third of the cameras is in front of busy places, the others in front of streets that are empty but for a
passer a minute (capacity_sites.py). They are read in real time by one real daemon, as it is by default, and
then spared: `source.gate` and `source.fps` auto (not `auto-int8`: where the chip computes bfloat16, the float
detector is taken, and to find that out beside sixteen cameras takes minutes). What is counted in a window of
time is held against what is counted with every frame of the same streams looked at by the default detector.

In the spared form the gates begin as at a site that has run for a day: they trust the sizes of packets
(`-o learnt=0`: they have yet to learn). Where that trust is wrong, the counts say so.

A file is read no faster than its pace, and none of its pictures is skipped where the box is too slow: it
falls behind, which the pace tells, and what was not counted by the end of the window is missed.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from pipelines.evaluate.crossings import Crossing
from pipelines.events import LINE_CROSSED
from streamer.sources.base import SourceInfo
from streamer.sources.gate import MIN_EVIDENCE, Gate
from streamer.sources.kept_evidence import Evidence, evidence_path
from streamer.workers.capture.gate_memory import GateMemory
from tests.bench import capacity_demand, capacity_sites, capacity_truth, capacity_watch
from tests.bench.capacity_sites import FPS, SIZE, Site
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS
from tests.daemon import Daemon

NAME = "capacity"
DESCRIPTION = "sixteen cameras 1080p25 on two cores: counts, ages, the least served, and cores by part"
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({"fps": "auto"}, {}),
    "spared": ({"gate": "auto", "fps": "auto"}, {}),
}
COUNTS_WITHIN, MAX_AGE, MIN_FAIR, MIN_PACE = 0.02, 1.0, 0.5, 0.95
START_S, WARM_S = 60.0, 10.0  # until all cameras are looked at; until the window begins
MAX_OTHERS = 0.1  # of the cores, where a figure is to be the daemon's own
LATE_S = 5.0  # for the last crossings of the window
NS = 1_000_000_000


def run(
    cameras: int = 16,
    minutes: float = 2.0,
    cores: int = 2,
    forms: str = "default,spared",
    clip_s: float = 60.0,
    learnt: int = 1,
    folder: str = "",
    together: int = 0,
) -> dict[str, Any]:
    """`cameras` streams for `minutes` in each of `forms`, on `cores`; forms "none": only what they ask for.
    `clip_s` is how long a clip is at most (busy ones half of it). Clips and counts are made in `folder` once,
    some minutes, or each time anew. `together`: 1, where all cameras' key frames come at once."""
    chosen = [] if forms == "none" else [form for form in forms.split(",") if form in FORMS]
    if (not chosen and forms != "none") or cameras < 1:
        raise Unavailable(f"forms are {', '.join(FORMS)} or none, and there is one camera at least")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as base:
        kept = Path(folder or base) / "clips"
        kept.mkdir(parents=True, exist_ok=True)
        seconds = START_S + WARM_S + minutes * 60 + 2 * LATE_S
        streams = Streams(kept, cameras, seconds, clip_s, bool(together))
        demand, rows = streams.demand(bool(learnt)), {}
        if chosen:
            wanted = streams.crossings()
            with on_cores(cores):
                for form in chosen:
                    at = Path(base) / form
                    rows[form] = measure(at, form, streams.sites, wanted, minutes, bool(learnt))
    of = {"cameras": cameras, "cores": cores, "minutes": minutes}
    return {**of, "demand": {**demand, "good": off_by(demand) <= COUNTS_WITHIN}, "forms": rows}


class Streams:
    """The cameras' streams, drawn where they are not in `folder` yet, and what is found in their clips."""

    def __init__(
        self, folder: Path, cameras: int, seconds: float, clip_s: float, together: bool = False
    ) -> None:
        busy, quiet = capacity_sites.clips(CORPUS, cameras)
        drawn = [
            [capacity_sites.draw(clip, folder, clip_s if clip.quiet else clip_s / 2, CORPUS) for clip in kind]
            for kind in (busy, quiet)
        ]
        self.sites = capacity_sites.sites(drawn[0], drawn[1], cameras, seconds, folder, together)
        self._detector = capacity_truth.default_detector(threads=2)
        self._clips = {site.drawn.clip.name: site.drawn for site in self.sites}
        self._found = {
            name: capacity_truth.detections(clip, self._detector) for name, clip in self._clips.items()
        }

    def crossings(self) -> dict[str, list[Crossing]]:
        """By camera, those that there are with every frame looked at; the streams are written."""
        for site in self.sites:
            capacity_sites.write(site)
        return {site.camera: self._of(site) for site in self.sites}

    def _of(self, site: Site) -> list[Crossing]:
        return capacity_truth.crossings(site, self._found[site.drawn.clip.name], self._detector)

    def demand(self, trusts: bool) -> dict[str, Any]:
        """What they ask for, in their own time."""
        a_frame_s = capacity_demand.detector_s(self._detector)
        demands, wanted = {}, {}
        for name, clip in self._clips.items():
            found = dict(self._found[name])
            demands[name] = capacity_demand.of_clip(clip, found, self._detector, trusts)
            wanted[name] = self._of(Site(name, clip, clip.path, 0, clip.frames))
        asked = capacity_demand.of_sites(self.sites, demands, wanted, a_frame_s)
        return {"detector_ms": a_frame_s * 1e3, **asked}


@contextmanager
def on_cores(cores: int) -> Iterator[None]:
    """What is started meanwhile has so many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- one form


def measure(
    base: Path, form: str, sites: list[Site], wanted: dict[str, list[Crossing]], minutes: float, learnt: bool
) -> dict[str, Any]:
    source, settings = FORMS[form]
    daemon = Daemon(base, [camera(site, source) for site in sites], **settings)
    if learnt and source.get("gate"):
        for site in sites:
            trust_sizes(daemon, site)
    try:
        daemon.start(wait=False)
        daemon.wait_for(_all_looked_at, START_S, "every camera to be looked at")
        time.sleep(WARM_S)
        seen = capacity_watch.watch(daemon, minutes * 60)
        time.sleep(LATE_S)
        events = {site.camera: daemon.events(site.camera) for site in sites}
        daemon.stop(30)
    finally:
        daemon.kill()
    by_camera = capacity_watch.cameras(seen)
    begins = begin_s(events)
    for site in sites:
        name, since_s = site.camera, seen.begun_s - begins[site.camera]
        until_s, told = since_s + seen.seconds, counted(events[name])
        by_camera[name] |= capacity_truth.compared(site, wanted[name], told, since_s, until_s)
    rows = {s.camera: {"clip": s.drawn.clip.name, **by_camera[s.camera]} for s in sites}
    return {
        "seconds": seen.seconds,
        "cores": capacity_watch.cores(seen),
        "spared": seen.spared_s / seen.seconds / len(sites),
        "cameras": rows,
        **verdicts(rows),
    }


def camera(site: Site, source: dict[str, Any]) -> dict[str, Any]:
    """Its file in cameras.d."""
    rules = site.drawn.clip.rules.model_dump(mode="json", exclude_defaults=True)
    return {"name": site.camera, "url": str(site.path), "source": source, "rules": rules}


def trust_sizes(daemon: Daemon, site: Site) -> None:
    """As if sizes of its packets had told of everybody who came so far."""
    path = evidence_path(daemon.state_dir, site.camera)
    memory = GateMemory(site.camera, str(site.path), path)
    memory.gate(SourceInfo(width=SIZE[0], height=SIZE[1], fps=float(FPS), codec="h264", clock_source="pts"))
    memory.note(Gate(Evidence(told=(True,) * MIN_EVIDENCE)))


def _all_looked_at(status: dict[str, Any]) -> bool:
    return all(camera["frames"]["inferred"] > 0 for camera in status["cameras"])


def counted(events: list[dict[str, Any]]) -> list[Crossing]:
    """The crossings among a camera's events, in media time."""
    return [
        Crossing(e["data"]["line"], e["data"]["direction"], e["data"]["crossed_media_ns"] / NS)
        for e in events
        if e["type"] == LINE_CROSSED
    ]


def begin_s(events: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """By camera, the wall clock when its media time was 0: of one that told of nothing, as the others."""
    found = {name: began for name, told in events.items() if (began := _began(told)) is not None}
    if not found:
        raise Unavailable("no camera told of anything: look at the clips")
    usual = statistics.median(found.values())
    return {name: found.get(name, usual) for name in events}


def _began(events: list[dict[str, Any]]) -> float | None:
    for event in events:
        data = event["data"]
        if "crossed_media_ns" in data:
            return float(data["crossed_captured_ns"] - data["crossed_media_ns"]) / NS
    return None


# ---- what it comes to


def off_by(counts: dict[str, Any]) -> float:
    """How far what was counted is from what was there, of that."""
    return float(abs(counts["counted"] - counts["wanted"]) / max(1, counts["wanted"]))


def verdicts(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each figure, and whether it is as it should be."""
    wanted, told = (sum(row[key] for row in rows.values()) for key in ("wanted_crossings", "counted"))
    ages = {n: (r["age_ms"]["p99"] or 0.0) / r["interval_ms"] for n, r in rows.items()}
    served = {name: row["served"] for name, row in rows.items()}
    mean = statistics.mean(served.values()) or 1.0
    off = off_by({"wanted": wanted, "counted": told})
    oldest, least = max(ages, key=ages.__getitem__), min(served, key=served.__getitem__)
    slowest = min(rows, key=lambda name: rows[name]["pace"])
    return {
        "counts": {"wanted": wanted, "counted": told, "off": off, "good": off <= COUNTS_WITHIN},
        "age": {"camera": oldest, "intervals": ages[oldest], "good": ages[oldest] < MAX_AGE},
        "least": {
            "camera": least,
            "served": served[least],
            "of_the_mean": served[least] / mean,
            "good": served[least] >= MIN_FAIR * mean,
        },
        "pace": {
            "camera": slowest,
            "share": rows[slowest]["pace"],
            "good": rows[slowest]["pace"] >= MIN_PACE,
        },
    }


def render(result: dict[str, Any]) -> str:
    cores, minutes = result["cores"], result["minutes"]
    lines = [f"{result['cameras']} cameras 1080p25", *_demand_lines(result["demand"])]
    for form, of in result["forms"].items():
        lines += ["", f"{form}, on {cores} cores, {minutes:g} minutes:", *_verdict_lines(of)]
        if (others := of["cores"]["other_programs"]) > MAX_OTHERS * cores:
            lines.append(f"  THE BOX IS NOT FREE: other programs took {others:.2f} cores of it meanwhile")
        lines += _table(of["cameras"])
    return "\n".join(lines)


def _demand_lines(asked: dict[str, Any]) -> Iterator[str]:
    needed = asked["reading_cores"] + asked["inference_cores"]
    yield (
        f"asked for, spared, in their own time: {needed:.2f} cores, of which reading "
        f"{asked['reading_cores']:.2f} (every frame decoded: {asked['whole_cores']:.2f}) and inference "
        f"{asked['inference_cores']:.2f} ({asked['detector_ms']:.1f} CPU ms a frame)"
    )
    good = "holds" if asked["good"] else "FAILS"
    yield (
        f"  counts {asked['counted']} of {asked['wanted']} with every frame, off by {off_by(asked):.1%} "
        f"(at most {COUNTS_WITHIN:.0%}): {good}"
    )
    yield "| clip | every frame | counted | missed | false | analysed/s | cores: whole | read | inference |"
    yield "|---" * 9 + "|"
    for name, row in asked["clips"].items():
        cells = [name, row["wanted"], row["counted"], row["missed"], row["false"]]
        cells += [f"{row['inferred_fps']:.1f}"]
        cells += [f"{row[key]:.3f}" for key in ("whole_cores", "reading_cores", "inference_cores")]
        yield f"| {' | '.join(map(str, cells))} |"


def _verdict_lines(of: dict[str, Any]) -> Iterator[str]:
    def good(key: str) -> str:
        return "holds" if of[key]["good"] else "FAILS"

    counts, age, least, pace, taken = (of[key] for key in ("counts", "age", "least", "pace", "cores"))
    yield (
        f"  counts {counts['counted']} of {counts['wanted']} with every frame, off by {counts['off']:.1%} "
        f"(at most {COUNTS_WITHIN:.0%}): {good('counts')}"
    )
    yield (
        f"  p99 age at worst {age['intervals']:.2f} analysed intervals ({age['camera']}; under {MAX_AGE:g}): "
        f"{good('age')}"
    )
    yield (
        f"  least served: {least['camera']}, {least['served']:.0%} of the frames it wanted, "
        f"{least['of_the_mean']:.2f} of the mean (at least {MIN_FAIR:g}): {good('least')}"
    )
    yield (
        f"  slowest: {pace['camera']}, read at {pace['share']:.2f} of its pace (at least {MIN_PACE:g}): "
        f"{good('pace')}"
    )
    yield "  cores: " + ", ".join(f"{part.replace('_', ' ')} {n:.2f}" for part, n in taken.items())
    yield f"  decoded without the deblocking filter: {of['spared']:.0%} of the time"


COLUMNS = (
    "camera", "clip", "every frame", "counted", "missed", "false", "inferred", "gated", "dropped", "served",
    "age p50, p99", "interval", "pace",
)  # fmt: skip


def _table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for name, row in rows.items():
        age = row["age_ms"]
        dropped = ", ".join(f"{why} {n}" for why, n in row["dropped"].items()) or "-"
        cells = [name, row["clip"], row["wanted_crossings"], row["counted"], row["missed"], row["false"]]
        cells += [row["inferred"], row["gated"], dropped, f"{row['served']:.0%}"]
        cells += [f"{age['p50'] or 0:.0f}, {age['p99'] or 0:.0f} ms", f"{row['interval_ms']:.0f} ms"]
        yield f"| {' | '.join(map(str, [*cells, format(row['pace'], '.2f')]))} |"
