"""How long properties are searched for a counterexample.

As they are, the examples are the same at every run, so that what CI says depends on the code alone. With
`STREAMER_FUZZ=20` there are 20 times as many, and others each time; what is found is kept in `.hypothesis`
and tried first from then on.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

FACTOR = int(os.environ.get("STREAMER_FUZZ") or 1)


def examples(count: int, *, steps: int = 50, shrink: bool = True) -> settings:
    """Try `count` examples, of `steps` rules each where it is a state machine. Where a counterexample is what
    a test expects, nobody need see it in its shortest form."""
    phases = [phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)]
    return settings(
        max_examples=count * FACTOR,
        stateful_step_count=steps,
        derandomize=FACTOR == 1,
        phases=phases,
        deadline=None,  # a busy machine is no counterexample
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
