"""The signs of a counted crossing: what they are. crossing_signs.py finds them, confidence.py judges by them.

Apart from both: who only adds up confidences (the ledger) needs nothing of what finds signs, numpy least.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CrossingSigns:
    """Of one crossing. None: not known."""

    evidence: float  # of the side with less, as the line weighed it
    margin: float  # bands beyond the line
    seen: float  # share of the frames around it with a box that speaks for the track
    gap_s: float  # between its last place on the one side and its first on the other
    age_s: float  # of the track, when it crossed
    height: float  # of the box, in shares of the picture
    cut: float  # 1 where the picture's border cuts the box
    jitter: float | None  # of its boxes, in shares of the box
    covered: float | None  # the largest share of the box that another track's box lies over
    near: float | None  # other tracks within a box of it
