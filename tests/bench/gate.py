"""What the gate spares in front of quiet cameras, and what it costs in crossings.

Minutes of tests/quiet_sites.py go through a camera's gate in their own time, and through the default detector
and tracker; the same with every frame in which somebody is there, and every IDLE_STEPth of the others, says
what there was to count. Every site begins with nothing learnt. Some are held out: no constant was chosen on
them.

Idle: a picture of the size of cameras with a sensor's noise, in which nothing moves, read behind a gate that
trusts sizes against decoded whole, in turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2

from pipelines.detect.detector import Detector
from pipelines.evaluate.crossings import compare
from streamer.models.model_handle import open_detector, packaged
from streamer.sources.gate import MIN_EVIDENCE, Gate
from streamer.sources.kept_evidence import Evidence
from streamer.sources.synthetic import Scene
from tests.bench.gate_replay import Detected, Followed, Gated, behind_gate, cpu_s, every_frame
from tests.bench.registry import Unavailable
from tests.conftest import CORPUS
from tests.quiet_sites import SITES, Site, write

NAME = "gate"
DESCRIPTION = "what resting cameras spare, and the crossings that they keep, by site and encoder"
KEPT, IDLE_SHARE = 0.99, 0.1
WITHIN_S = 2.0  # a crossing is the same one; people come a minute apart
NEAR_S = 2.0  # before and after somebody is there every picture is looked at
IDLE_STEP = 5
DEFAULT_SITES = "key frame a second, CRF;rain, CBR"  # about 3 minutes with the idle part, on a quiet machine
IDLE_SIZE, IDLE_FPS, IDLE_PICTURES = (1280, 720), 25, 16
IDLE_S, LEARNT_S = (
    80,
    10.0,
)  # long enough for a look that time alone asks for; what is learnt first is left out
IDLE_ENCODERS = {
    "CRF, key frame in 2 s": (2, {"preset": "superfast", "crf": "23", "bf": "0"}),
    "4 Mbit/s, key frame in 4 s": (
        4,
        {"preset": "ultrafast", "b": "4M", "maxrate": "4M", "bufsize": "4M", "bf": "0"},
    ),
    "CRF, B frames, key frame in 4 s": (4, {"preset": "superfast", "crf": "23", "bf": "2"}),
}


def run(minutes: float = 3.0, sites: str = DEFAULT_SITES, idle: int = 1, rounds: int = 1) -> dict[str, Any]:
    """`minutes` of each of `sites` (names with ";" between them, or "all"); `idle` 0: without its part."""
    cv2.setNumThreads(1)
    chosen = SITES if sites == "all" else tuple(s for s in SITES if s.name in sites.split(";"))
    chosen = tuple(s for s in chosen if s.clip is None or (CORPUS / "videos" / s.clip.file).exists())
    if not chosen and sites:
        raise Unavailable(f"no such sites; known: {'; '.join(s.name for s in SITES)}")
    detector = open_detector("openvino", packaged(), threads=1)
    with TemporaryDirectory() as folder:
        rows = [_site(site, Path(folder) / "site.mp4", minutes, detector) for site in chosen]
        idle_rows = {name: _idle(Path(folder), name, rounds) for name in IDLE_ENCODERS} if idle else {}
    return {
        "goal": {"kept": KEPT, "idle": IDLE_SHARE},
        "minutes": minutes,
        "sites": rows,
        "parts": {part: _part([r for r in rows if r["part"] == part]) for part in ("chosen on", "held out")},
        "idle": idle_rows,
    }


def _site(site: Site, path: Path, minutes: float, detector: Detector) -> dict[str, Any]:
    there = write(site, path, minutes, CORPUS)
    detected = Detected(detector)
    all_of_it = Followed(detected, site.rules)
    wanted = every_frame(path, all_of_it, _looked_at(there, site.fps))
    gated = behind_gate(path, Followed(detected, site.rules), Gate())
    found = compare(wanted, gated.crossings, WITHIN_S)
    return {
        "site": site.name,
        "part": "held out" if site.held_out else "chosen on",
        "frames": len(there),
        "busy": round(sum(there) / len(there), 3),
        "crossings": len(wanted),
        "kept": len(found.matched),
        "false": len(found.false),
        "decoded": gated.decoded,
        "keys_alone": gated.keys,
        "inferred": gated.inferred,
        "level_s": {level: round(spent) for level, spent in gated.level_s.items()},
        "wakes_for_nothing_an_hour": round(_for_nothing(gated, all_of_it.busy_s) * 60 / minutes, 1),
        "why_not_lower": gated.why,
        "missed": [[c.line, round(c.time_s, 1)] for c in found.missed],
    }


def _looked_at(there: Sequence[bool], fps: int) -> Collection[int]:
    near = round(NEAR_S * fps)
    close = {n for i, somebody in enumerate(there) if somebody for n in range(i - near, i + near + 1)}
    return close | set(range(0, len(there), IDLE_STEP))


def _for_nothing(gated: Gated, busy_s: Sequence[float]) -> int:
    """Wakes by what was seen, after which nobody came."""
    wakes = [at_s for at_s, by in gated.wakes if by in ("sizes", "picture")]
    return sum(not any(at_s - 1 <= s <= at_s + 3 for s in busy_s) for at_s in wakes)


def _part(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    crossings, kept = (sum(row[key] for row in rows) for key in ("crossings", "kept"))
    false = sum(row["false"] for row in rows)
    return {
        "crossings": crossings,
        "kept": kept,
        "false": false,
        "share": kept / crossings if crossings else None,
    }


# ---- idle


def _idle(folder: Path, name: str, rounds: int) -> dict[str, float]:
    path = folder / "idle.mp4"
    _write_idle(path, *IDLE_ENCODERS[name])
    trusting = Evidence(told=(True,) * MIN_EVIDENCE)
    resting, whole = [], []
    for _ in range(rounds):
        resting.append(cpu_s(path, LEARNT_S, Gate(trusting)))
        whole.append(cpu_s(path, LEARNT_S, None))
    rest_s, whole_s = (statistics.median(taken) * 60 / (IDLE_S - LEARNT_S) for taken in (resting, whole))
    return {"cpu_s_a_minute": rest_s, "decoded_cpu_s_a_minute": whole_s, "share": rest_s / whole_s}


def _write_idle(path: Path, gop_s: int, options: dict[str, str]) -> None:
    scene = replace(
        Scene(width=IDLE_SIZE[0], height=IDLE_SIZE[1], fps=IDLE_FPS, people=0.0), vehicles=0, bicycles=0
    )
    painter = scene.painter()
    pictures = [
        av.VideoFrame.from_ndarray(scene.picture(painter, n), format="bgr24").reformat(format="yuv420p")
        for n in range(IDLE_PICTURES)
    ]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=IDLE_FPS)
        stream.width, stream.height = IDLE_SIZE
        stream.codec_context.gop_size = gop_s * IDLE_FPS
        stream.options = options | {"sc_threshold": "0"}
        for number in range(IDLE_S * IDLE_FPS):
            frame = pictures[number * 7 % IDLE_PICTURES]
            frame.pts, frame.time_base = number, Fraction(1, IDLE_FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def render(result: dict[str, Any]) -> str:
    lines = [
        "| site | | frames | busy | crossings | kept | false | decoded | keys alone | inferred | "
        "at packets | wakes for nothing/h | why not lower |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["sites"]:
        numbers = [row[key] for key in ("crossings", "kept", "false", "decoded", "keys_alone", "inferred")]
        cells = [row["site"], row["part"], row["frames"], f"{row['busy']:.0%}", *numbers]
        cells += [f"{row['level_s']['packets'] / sum(row['level_s'].values()):.0%}"]
        cells += [f"{row['wakes_for_nothing_an_hour']:g}", row["why_not_lower"] or "-"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
        lines += [f"missed at {row['site']}: {line} at {at_s:g} s" for line, at_s in row["missed"]]
    for part, of in result["parts"].items():
        if of["share"] is not None:
            kept = f"{of['kept']} of {of['crossings']} crossings kept ({of['share']:.1%})"
            lines.append(f"{part}: {kept}, {of['false']} false; goal {KEPT:.0%}")
    for name, idle in result["idle"].items():
        spent, whole = idle["cpu_s_a_minute"], idle["decoded_cpu_s_a_minute"]
        share = f"{idle['share']:.2f} of a decode; goal {IDLE_SHARE:g}"
        lines.append(f"idle, {name}: {spent:.2f} CPU s a minute, decoded {whole:.2f}: {share}")
    return "\n".join(lines)
