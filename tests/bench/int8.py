"""The int8 detector in the package beside the float one, as the daemon measures both at its first start here.

`ONEDNN_MAX_CPU_ISA=AVX2 OV_CPU_MAX_ISA=AVX2 python -m tests.bench int8` is the same as if on a simpler chip
(AVX2, AVX512_CORE, AVX512_CORE_VNNI): the first limits convolutions, the second whether there is bfloat16.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

from streamer.models.auto_tune import MAX_COST, measure, packaged_int8
from streamer.models.model_handle import open_detector, packaged

NAME = "int8"
DESCRIPTION = "CPU a frame and boxes of the int8 detector in the package against the float one, on this chip"


def run(rounds: int = 3) -> dict[str, Any]:
    found = [asdict(measure(packaged(), packaged_int8())) for _ in range(rounds)]
    precision = open_detector("openvino", packaged(), threads=1).describe()["precision"]
    return {"precision": precision, "rounds": found}


def render(result: dict[str, Any]) -> str:
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
