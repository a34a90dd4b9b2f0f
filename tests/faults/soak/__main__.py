"""`python -m tests.faults.soak`: one soak; exit code 1 where a promise is broken."""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.soak import report
from tests.faults.soak.box import STREAM_MAX_LEN, Box
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
    binary = shutil.which("redis-server")
    if binary is None:
        print("there is no redis-server: deploy/setup.sh installs it", file=sys.stderr)
        return 2
    seed = random.randrange(10**6) if wanted.seed is None else wanted.seed
    seconds = wanted.hours * 3600
    base = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    box = Box(base, binary, hours=wanted.hours, stream_max_len=wanted.stream_max_len)
    watch = Watch(box, min(MAX_WARM_UP_S, max(MIN_WARM_UP_S, WARM_UP_SHARE * seconds)))
    try:
        outcome = Soak(box, watch, seed, wanted.only).run(seconds, math.inf if wanted.quiet else wanted.every)
        print("\n" + report.text(outcome, watch, seed))
        faults = report.broken(outcome, watch)
    finally:
        box.close()
    if faults:
        print(f"the log is {box.daemon.log_path}", file=sys.stderr)
    else:
        shutil.rmtree(base, ignore_errors=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
