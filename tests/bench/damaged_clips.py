"""What comes of 10,000 damaged clips: how many end in a short result, how many are refused, and what else.

`hung` and `fault` are defects of ours. `died` is what the decoder did to the process that read: the daemon,
which reads in processes of their own, starts another. A seed makes the same clip again:
`tests.damaged_clips.damaged(render(folder), SEED)`.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests import damaged_clips
from tests.damaged_clips import Outcome, read_damaged

NAME = "damaged_clips"
DESCRIPTION = "10,000 clips cut, flipped, spliced and with headers that lie: none may hang or end in a fault"

SHOWN = 20


def run(clips: int = 10_000, first_seed: int = 0) -> dict[str, Any]:
    begun_s, ends, defects, refusals = time.monotonic(), Counter[str](), [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="st-rendered-") as folder:
        for outcome in read_damaged(
            damaged_clips.render(Path(folder)), range(first_seed, first_seed + clips)
        ):
            ends[outcome.end] += 1
            if outcome.end not in ("ended", "refused"):
                defects.append(_said(outcome))
            elif outcome.end == "refused":
                refusals[outcome.text.partition(": ")[2][:70]] += 1
    return {
        "clips": clips,
        "clips_per_s": round(clips / (time.monotonic() - begun_s), 1),
        **{end: ends[end] for end in ("ended", "refused", "died", "hung", "fault")},
        "largest_child_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "refusals": dict(refusals.most_common(SHOWN)),
        "defects": defects[:SHOWN],
    }


def _said(outcome: Outcome) -> str:
    return f"seed {outcome.seed}, {outcome.clip}, {outcome.damage}: {outcome.end} {outcome.text}"


def _figures(result: dict[str, Any]) -> list[str]:
    names = ("clips", "clips_per_s", "ended", "refused", "died", "hung", "fault", "largest_child_mb")
    return [f"{name.replace('_', ' '):<16} {result[name]:>8,}" for name in names]


def _refusals(result: dict[str, Any]) -> list[str]:
    return [f"{count:>8,}  {text}" for text, count in result["refusals"].items()]


def render(result: dict[str, Any]) -> str:
    return "\n".join([*_figures(result), *_refusals(result), *result["defects"]])
