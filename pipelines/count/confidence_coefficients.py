"""The coefficients of pipelines/count/confidence.py. Written by a command, not by hand:

    python -m tests.bench counting_confidence -o write=true

`right`: ridge logistic regression of whether a crossing is right on its standardised signs. `unseen`: ridge
regression of the logarithm of the true count over the count. `intervals`: see IntervalModel.
"""

from __future__ import annotations

from typing import Any

COEFFICIENTS: dict[str, Any] = {
    "right": {
        "intercept": 3.1149,
        "signs": {
            "evidence": {"mean": -0.2267, "spread": 0.7184, "weight": 0.2012},
            "margin": {"mean": 0.6119, "spread": 0.5987, "weight": 0.0651},
            "seen": {"mean": 0.8522, "spread": 0.1832, "weight": 0.6411},
            "gap_s": {"mean": -1.8507, "spread": 0.7827, "weight": -0.459},
            "age_s": {"mean": 0.752, "spread": 1.114, "weight": 0.1394},
            "height": {"mean": -1.6957, "spread": 0.5194, "weight": 0.2005},
            "cut": {"mean": 0.076, "spread": 0.2649, "weight": -0.1558},
            "jitter": {"mean": -3.1022, "spread": 0.5916, "weight": -0.0621},
            "covered": {"mean": 0.2191, "spread": 0.2856, "weight": -0.3541},
            "near": {"mean": 1.0565, "spread": 1.4508, "weight": 0.3426},
        },
    },
    "unseen": {
        "intercept": 0.392,
        "signs": {
            "evidence": {"mean": -0.1931, "spread": 0.3977, "weight": -0.133},
            "margin": {"mean": 0.6201, "spread": 0.3107, "weight": 0.0139},
            "seen": {"mean": 0.8565, "spread": 0.1103, "weight": 0.0911},
            "gap_s": {"mean": -1.8384, "spread": 0.7384, "weight": 0.0892},
            "age_s": {"mean": 0.7393, "spread": 0.6143, "weight": -0.1004},
            "height": {"mean": -1.7013, "spread": 0.4342, "weight": 0.0754},
            "cut": {"mean": 0.073, "spread": 0.1081, "weight": 0.0364},
            "jitter": {"mean": -3.1676, "spread": 0.5235, "weight": 0.0754},
            "covered": {"mean": 0.151, "spread": 0.1307, "weight": -0.1306},
            "near": {"mean": 0.6691, "spread": 0.654, "weight": 0.0853},
        },
    },
    "intervals": {
        "fixed": {
            "centre": 0.3908,
            "missed": 0.1953,
            "missed_slope": 0.1234,
            "counting": 0.3211,
            "scene": -1.3938,
            "scene_slope": 1.8547,
            "below": 0.9668,
            "above": 1.3418,
            "within": 0.4424,
            "drift": 0.0574,
        },
        "moving": {
            "centre": 0.4767,
            "missed": 0.3453,
            "missed_slope": 0.5312,
            "counting": 0.4783,
            "scene": -1.3609,
            "scene_slope": 1.5922,
            "below": 1.166,
            "above": 1.5645,
            "within": 0.8408,
            "drift": 0.0,
        },
    },
}
