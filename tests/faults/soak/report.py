"""What a soak says at its end, and which promises it found broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from tests.faults.soak.run import FAULTS, Outcome
from tests.faults.soak.slope import Slope
from tests.faults.soak.watch import Watch
from tests.patience import patient

MAX_MB_PER_HOUR = 1.0
MAX_DESCRIPTORS_PER_HOUR = 2.0
COURSE_S = 240.0  # of how many seconds a figure of the course is the median
MIN_LIFE_S = 1140.0  # of one process after its warm-up, to judge of a slope: shorter ones show noise


def broken(outcome: Outcome, watch: Watch) -> list[str]:
    """A line each; none where every promise held."""
    return [*lost(outcome, watch), *_grows(watch), *_late(outcome)]


def lost(outcome: Outcome, watch: Watch) -> list[str]:
    """What is lost or counted twice, and what was never well again."""
    return [
        *(f"never well again after: {kind}" for kind in outcome.never),
        *(f"frames that are nowhere: {row}" for row in watch.unbalanced),
        *(f"{key}: {n}" for key, n in watch.losses.items() if n),
        *(fault for books in outcome.books for fault in books.faults),
        *([] if outcome.exit_code == 0 else [f"SIGTERM ended the daemon with {outcome.exit_code}"]),
        *([] if sum(books.crossings for books in outcome.books) else ["nothing was counted at all"]),
    ]


def _grows(watch: Watch) -> Iterator[str]:
    for what, slopes, most in (
        ("MB of memory", watch.memory.slopes(), MAX_MB_PER_HOUR),
        ("descriptors", watch.descriptors.slopes(), MAX_DESCRIPTORS_PER_HOUR),
    ):
        for role, slope in slopes.items():
            grows = slope.per_hour > most and slope.longest_s >= MIN_LIFE_S
            if grows and not (role in watch.not_judged and "memory" in what):
                yield f"{role} grows by {slope.per_hour:.2f} {what} an hour, {most:g} at most"


def _late(outcome: Outcome) -> Iterator[str]:
    """Times count as the patience has them: STREAMER_TEST_PATIENCE=1 on a quiet machine."""
    for fault in FAULTS:
        took_s = outcome.recovery_s.get(fault.kind)
        if took_s and np.percentile(took_s, 95) > patient(fault.recovery_s):
            yield (
                f"recovery from {fault.kind}: p95 {np.percentile(took_s, 95):.1f} s, "
                f"{patient(fault.recovery_s):g} s at most"
            )


def text(outcome: Outcome, watch: Watch, seed: int) -> str:
    faults = broken(outcome, watch)
    strikes = sum(map(len, outcome.recovery_s.values())) + len(outcome.never)
    head = f"soak: {outcome.seconds / 60:.1f} minutes, {strikes} faults, seed {seed}, {watch.samples} looks"
    left_out = [f"left out (needs root that may mount): {', '.join(outcome.left_out)}"] * bool(
        outcome.left_out
    )
    parts = [head, *left_out, *frames(watch), *events(outcome), *_slopes(watch), *_recovery(outcome)]
    return "\n".join([*parts, "", *([f"BROKEN: {f}" for f in faults] or ["every promise held"])])


def frames(watch: Watch) -> Iterator[str]:
    """The books of frames, a line a camera."""
    yield "\nframes: decoded = inferred + gated + dropped + in flight"
    for camera, n in sorted(watch.frames().items()):
        reasons = {key.removeprefix("dropped "): v for key, v in n.items() if key.startswith("dropped ")}
        dropped = ", ".join(f"{reason} {v}" for reason, v in sorted(reasons.items()))
        nowhere = _nowhere(n)
        yield (
            f"  {camera:6} {n['decoded']} = {n['inferred']} + {n['gated']} + {sum(reasons.values())} "
            f"+ {n['in_flight']}, nowhere {nowhere} ({dropped})"
        )


def _nowhere(n: Counter[str]) -> int:
    return n["decoded"] - sum(count for key, count in n.items() if key != "decoded")


def events(outcome: Outcome) -> Iterator[str]:
    """The books of events, a line a camera."""
    yield "\nevents: made = in the ledger = in each Redis"
    for books in outcome.books:
        sinks = " = ".join(f"{n} in {sink}" for sink, n in books.in_redis.items())
        line = f"  {books.camera:6} {books.made} = {books.in_ledger} in the ledger = {sinks}"
        yield f"{line}, {books.crossings} crossings"
    made = sum(books.made for books in outcome.books)
    yield f"  {made} events, {sum(len(books.faults) for books in outcome.books)} faults of the books"


def _slopes(watch: Watch) -> Iterator[str]:
    yield (
        "\nslope of private memory and of descriptors, an hour (Theil-Sen), after "
        f"{watch.memory.warm_up_s / 60:.1f} minutes of warm-up; judged where one process was watched for "
        f"{MIN_LIFE_S / 60:g} minutes after it; then the course of its memory, "
        f"{COURSE_S / 60:g} minutes a figure:"
    )
    memory, descriptors = watch.memory.slopes(), watch.descriptors.slopes()
    for role in sorted(memory):
        watched = f"watched {memory[role].observed_s / 60:.1f} minutes, one {memory[role].longest_s / 60:.1f}"
        whole = ", memory not judged: its streams are kept whole" * (role in watch.not_judged)
        slopes = f"{_slope(memory[role])} MB {_slope(descriptors[role])} descriptors"
        course = " ".join(f"{mb:.2f}" for mb in watch.memory.course(role, COURSE_S))
        yield f"  {role:11} {slopes}; {watched}{whole}; {course}"


def _slope(slope: Slope) -> str:
    return f"{slope.per_hour:+9.2f}"


def _recovery(outcome: Outcome) -> Iterator[str]:
    yield "\nrecovery in seconds:               n    p50    p95   promised"
    for fault in FAULTS:
        if took_s := outcome.recovery_s.get(fault.kind):
            p50, p95 = np.percentile(took_s, (50, 95))
            yield f"  {fault.kind:30} {len(took_s):3} {p50:6.1f} {p95:6.1f} {fault.recovery_s:8g}"
