"""The coefficients of pipelines/count/confidence.py. Written by a command, not by hand:

    python -m tests.bench counting_confidence -o write=true

`right`: ridge logistic regression of whether a crossing is right on its standardised signs. `unseen`: ridge
regression of the logarithm of the true count over the count. `intervals`: see IntervalModel.
"""

from __future__ import annotations

from typing import Any

COEFFICIENTS: dict[str, Any] = {
    "right": {
        "intercept": 3.1268,
        "signs": {
            "evidence": {"mean": -0.2299, "spread": 0.715, "weight": 0.1379},
            "margin": {"mean": 0.6051, "spread": 0.5943, "weight": 0.0623},
            "seen": {"mean": 0.8556, "spread": 0.1796, "weight": 0.653},
            "gap_s": {"mean": -1.8303, "spread": 0.7983, "weight": -0.4017},
            "age_s": {"mean": 0.7687, "spread": 1.1025, "weight": 0.1459},
            "height": {"mean": -1.7036, "spread": 0.5187, "weight": 0.1806},
            "cut": {"mean": 0.0735, "spread": 0.261, "weight": -0.1077},
            "jitter": {"mean": -3.0745, "spread": 0.6888, "weight": -0.1972},
            "covered": {"mean": 0.2154, "spread": 0.2822, "weight": -0.373},
            "near": {"mean": 1.0444, "spread": 1.44, "weight": 0.4512},
        },
    },
    "unseen": {
        "intercept": 0.3756,
        "signs": {
            "evidence": {"mean": -0.2015, "spread": 0.3998, "weight": -0.1248},
            "margin": {"mean": 0.6142, "spread": 0.301, "weight": -0.0054},
            "seen": {"mean": 0.8583, "spread": 0.1063, "weight": 0.0833},
            "gap_s": {"mean": -1.8252, "spread": 0.7219, "weight": 0.0796},
            "age_s": {"mean": 0.7649, "spread": 0.5994, "weight": -0.0922},
            "height": {"mean": -1.7061, "spread": 0.4359, "weight": 0.0887},
            "cut": {"mean": 0.0703, "spread": 0.1059, "weight": 0.0189},
            "jitter": {"mean": -3.1615, "spread": 0.634, "weight": 0.074},
            "covered": {"mean": 0.1531, "spread": 0.1332, "weight": -0.1287},
            "near": {"mean": 0.6702, "spread": 0.6518, "weight": 0.088},
        },
    },
    "intervals": {
        "fixed": {
            "centre": 0.3881,
            "missed": 0.1812,
            "missed_slope": 0.1,
            "counting": 0.3303,
            "scene": -1.3375,
            "scene_slope": 1.7141,
            "below": 0.9141,
            "above": 1.3125,
        },
        "moving": {
            "centre": 0.4579,
            "missed": 0.3453,
            "missed_slope": 0.5687,
            "counting": 0.5108,
            "scene": -1.3609,
            "scene_slope": 1.5266,
            "below": 1.1367,
            "above": 1.5762,
        },
    },
}
