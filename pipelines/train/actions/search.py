"""Random search over named settings (Bergstra and Bengio, JMLR 2012): every trial from its own seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.train.actions.settings import TrainSettings

LOG, EVEN = "log", "even"
# What may be searched, from where to where and how; lists are chosen from.
SPACE: dict[str, tuple[Any, ...]] = {
    "lr": (LOG, 5e-4, 8e-3),
    "weight_decay": (LOG, 1e-3, 0.3),
    "dropout": (EVEN, 0.1, 0.6),
    "mixup": (0.0, 0.2, 0.4),
    "hidden": (32, 48, 64, 96),
    "label_smoothing": (0.0, 0.05, 0.1, 0.15),
    "batch": (16, 32, 64),
    "augment.warp": (EVEN, 0.0, 0.5),
    "augment.rotate": (EVEN, 0.0, 0.5),
    "augment.scale": (EVEN, 0.0, 0.3),
    "augment.jitter": (EVEN, 0.0, 0.08),
    "augment.drop": (EVEN, 0.0, 0.3),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """`chosen` by name; `accuracy` and `loss` of the part held back, which alone decides."""

    number: int
    chosen: dict[str, Any]
    settings: TrainSettings
    accuracy: float = 0.0
    loss: float = float("inf")


def draw_trials(base: TrainSettings, trials: int, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """`trials` settings near `base`; the first is `base` itself. Raises KeyError for an unknown name."""
    space = {name: SPACE[name] for name in names} if names else SPACE
    rng = np.random.default_rng(base.seed)
    yield Trial(0, {}, base)
    for number in range(1, trials):
        chosen = {name: _draw(options, rng) for name, options in space.items()}
        inner = {k.removeprefix("augment."): v for k, v in chosen.items() if k.startswith("augment.")}
        outer = {k: v for k, v in chosen.items() if not k.startswith("augment.")}
        settings = replace(base, **outer, augment=replace(base.augment, **inner))
        yield Trial(number, chosen, settings)


def _draw(options: tuple[Any, ...], rng: np.random.Generator) -> Any:
    if options[0] == LOG:
        return float(f"{np.exp(rng.uniform(np.log(options[1]), np.log(options[2]))):.3g}")
    if options[0] == EVEN:
        return round(float(rng.uniform(options[1], options[2])), 3)
    return options[int(rng.integers(len(options)))]


def search(trials: Iterator[Trial], run: Callable[[TrainSettings], tuple[float, float]]) -> list[Trial]:
    """`run` gives (accuracy, loss) of the part held back; the best trial comes first."""
    done = []
    for trial in trials:
        accuracy, loss = run(trial.settings)
        done.append(replace(trial, accuracy=accuracy, loss=loss))
    return sorted(done, key=lambda t: (-t.accuracy, t.loss, t.number))
