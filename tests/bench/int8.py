"""The int8 detector in the package beside the float one, as the daemon measures both at its first start here.

`ONEDNN_MAX_CPU_ISA=AVX2 OV_CPU_MAX_ISA=AVX2 python -m tests.bench int8` is the same as if on a simpler chip
(AVX2, AVX512_CORE, AVX512_CORE_VNNI): the first limits convolutions, the second whether there is bfloat16.
`-o make=FOLDER` makes the int8 one again (`-o pictures=corpus` or rendered: int8_making.py).
"""

from __future__ import annotations

import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamer.models.auto_tune import MAX_COST, measure, packaged_int8
from streamer.models.model_handle import open_detector, packaged
from tests.bench import int8_making

NAME = "int8"
DESCRIPTION = "CPU a frame and boxes of the int8 detector in the package against the float one, on this chip"


def run(rounds: int = 3, make: str = "", pictures: str = "corpus") -> dict[str, Any]:
    """`make`: a folder for the int8 model made again of `pictures`; nothing is measured beside that."""
    if make:
        return {"made": int8_making.make(Path(make), pictures)}
    found = [asdict(measure(packaged(), packaged_int8())) for _ in range(rounds)]
    precision = open_detector("openvino", packaged(), threads=1).describe()["precision"]
    return {"precision": precision, "rounds": found}


def render(result: dict[str, Any]) -> str:
    if "made" in result:
        return "\n".join(f"{key}: {value}" for key, value in result["made"].items())
    rows = result["rounds"]
    cost = statistics.median(row["cost"] for row in rows)
    chosen = sum(row["int8"] for row in rows)
    lines = [
        f"float ({result['precision']}) {row['float_cpu_ms']:.2f} CPU ms a frame, "
        f"int8 {row['int8_cpu_ms']:.2f}: {row['cost']:.2f}; int8 finds "
        f"{row['found']} of {row['boxes']} boxes and gives {row['given']}"
        for row in rows
    ]
    return "\n".join(
        [*lines, f"int8 costs {cost:.2f} (taken up to {MAX_COST}): taken {chosen} times of {len(rows)}"]
    )
