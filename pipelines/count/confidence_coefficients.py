"""The coefficients of pipelines/count/confidence.py. Written by a command, not by hand:

    python -m tests.bench counting_confidence -o write=true

`right`: ridge logistic regression of whether a crossing is right on its standardised signs. `unseen`: ridge
regression of the logarithm of the true count over the count. `intervals`: see IntervalModel.
"""

from __future__ import annotations

from typing import Any

COEFFICIENTS: dict[str, Any] = {
    "right": {
        "intercept": 3.1244,
        "signs": {
            "evidence": {"mean": -0.226, "spread": 0.7178, "weight": 0.2315},
            "margin": {"mean": 0.6118, "spread": 0.5998, "weight": 0.0597},
            "seen": {"mean": 0.8533, "spread": 0.1824, "weight": 0.6457},
            "gap_s": {"mean": -1.8497, "spread": 0.7839, "weight": -0.4928},
            "age_s": {"mean": 0.7585, "spread": 1.1055, "weight": 0.1323},
            "height": {"mean": -1.6961, "spread": 0.5205, "weight": 0.1784},
            "cut": {"mean": 0.0756, "spread": 0.2644, "weight": -0.1436},
            "jitter": {"mean": -3.1022, "spread": 0.5901, "weight": -0.0931},
            "covered": {"mean": 0.2197, "spread": 0.2855, "weight": -0.3801},
            "near": {"mean": 1.0559, "spread": 1.4504, "weight": 0.3965},
        },
    },
    "unseen": {
        "intercept": 0.3928,
        "signs": {
            "evidence": {"mean": -0.1935, "spread": 0.3969, "weight": -0.1316},
            "margin": {"mean": 0.6182, "spread": 0.3083, "weight": 0.0145},
            "seen": {"mean": 0.8566, "spread": 0.1103, "weight": 0.0992},
            "gap_s": {"mean": -1.8384, "spread": 0.7377, "weight": 0.0861},
            "age_s": {"mean": 0.7427, "spread": 0.6123, "weight": -0.1061},
            "height": {"mean": -1.7018, "spread": 0.4347, "weight": 0.0807},
            "cut": {"mean": 0.0726, "spread": 0.1076, "weight": 0.0369},
            "jitter": {"mean": -3.1678, "spread": 0.5229, "weight": 0.073},
            "covered": {"mean": 0.152, "spread": 0.13, "weight": -0.1426},
            "near": {"mean": 0.6697, "spread": 0.6506, "weight": 0.0916},
        },
    },
    "intervals": {
        "fixed": {
            "centre": 0.3954,
            "missed": 0.1953,
            "missed_slope": 0.1141,
            "counting": 0.3413,
            "scene": -1.4219,
            "scene_slope": 1.8547,
            "below": 0.9727,
            "above": 1.4062,
            "within": 0.4768,
            "drift": 0.0506,
        },
        "moving": {
            "centre": 0.4782,
            "missed": 0.3406,
            "missed_slope": 0.5359,
            "counting": 0.5229,
            "scene": -1.375,
            "scene_slope": 1.4937,
            "below": 1.125,
            "above": 1.5645,
            "within": 0.8729,
            "drift": 0.0415,
        },
    },
}
