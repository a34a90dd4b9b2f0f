"""`python -m tests.faults.soak`: one soak; exit code 1 where a promise is broken."""

from __future__ import annotations

import argparse
import math
import random
import sys

from tests.faults.soak import report
from tests.faults.soak.box import STREAM_MAX_LEN, Box, in_a_box
from tests.faults.soak.run import FAULTS, Soak
from tests.faults.soak.watch import Watch

# A process's first time, in which its caches fill as they should: SQLite's for 4 minutes, those of a rendered
# scene for 8, what inference keeps of its tracks for 10.
MIN_WARM_UP_S, MAX_WARM_UP_S = 20.0, 600.0
WARM_UP_SHARE = 1 / 3  # of the run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="the order of the faults; printed, else drawn")
    parser.add_argument("--every", type=float, default=60.0, metavar="S", help="seconds from fault to fault")
    parser.add_argument("--quiet", action="store_true", help="no fault at all: what grows by itself")
    parser.add_argument(
        "--stream-max-len",
        type=int,
        default=STREAM_MAX_LEN,
        metavar="N",
        help="events that each Redis keeps of a camera, 1000 or more; where that is few enough for it to "
        "stop growing, its memory is judged as well, and the books look for the newest alone",
    )
    parser.add_argument("--only", action="append", default=[], choices=[fault.kind for fault in FAULTS])
    return parser.parse_args()


def main() -> int:
    wanted = _arguments()
    seed = random.randrange(10**6) if wanted.seed is None else wanted.seed
    seconds = wanted.hours * 3600

    def judge(box: Box) -> list[str]:
        watch = Watch(box, min(MAX_WARM_UP_S, max(MIN_WARM_UP_S, WARM_UP_SHARE * seconds)))
        outcome = Soak(box, watch, seed, wanted.only).run(seconds, math.inf if wanted.quiet else wanted.every)
        print("\n" + report.text(outcome, watch, seed))
        return report.broken(outcome, watch)

    options = {"hours": wanted.hours, "stream_max_len": wanted.stream_max_len}
    return in_a_box(lambda base, binary: Box(base, binary, **options), judge)


if __name__ == "__main__":
    sys.exit(main())
