"""The ridge probe's weights in closed form: no steps, nothing random but which groups are held back.

Its one number, what large weights cost, is chosen by cross-validation over whole groups of the training part.
What is said there of each group by a solution that never saw it is returned, so that temperature and
thresholds can be set by it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from pipelines.actions.linear_probe import RidgeProbe
from pipelines.train.actions.data import ActionData
from pipelines.train.actions.split import fold_of
from pipelines.train.actions.windows import Windows
from pipelines.values import Floats

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
USUAL = 1.0  # where there are too few groups to choose by
FOLDS = 5
GAIN = 4.0  # of targets of -1 and 1 to logits: about right before they are calibrated
MIN_SPREAD = 1e-6
BATCH = 1024  # windows summed up at once

Numbers = npt.NDArray[np.float64]


def solve(
    probe: RidgeProbe, data: ActionData, windows: Windows, weights: list[Numbers], seed: int
) -> list[Floats] | None:
    """Set the probe's weights. `weights`: for each head one (M,), how much each window counts.

    Returns for each head the logits (M, C) of windows whose groups were held back, None where there are
    fewer than two groups.
    """
    roots = _roots(probe, windows)
    groups = len({item.group for item in data.sequences})
    folds = None
    if groups >= 2:
        folds = fold_of(data.sequences, min(FOLDS, groups), seed)[windows.sequence]
    held_out_logits: list[Floats] = []
    for number, (target, weight) in enumerate(zip(windows.targets, weights, strict=True)):
        labelled = np.isfinite(target).all(axis=1)
        true = GAIN * (2 * np.nan_to_num(target.astype(np.float64)) - 1)
        weight = weight * labelled
        strength = USUAL
        if folds is not None:
            strength, held_out = _choose(probe, roots, true, weight, folds)
            held_out_logits.append(held_out)
        _fit_standardisation(probe, roots)
        answer, bias = _fit(_standardised(probe, roots), true, weight, (strength,))[0]
        probe.heads[number].weight.data = torch.from_numpy(answer.T.astype(np.float32).copy())
        probe.heads[number].bias.data = torch.from_numpy(bias.astype(np.float32))
    return held_out_logits or None


def _roots(probe: RidgeProbe, windows: Windows) -> Numbers:
    with torch.no_grad():
        parts = [probe.signed_roots(part).numpy() for part in torch.from_numpy(windows.values).split(BATCH)]
    return np.concatenate(parts).astype(np.float64)


def _choose(
    probe: RidgeProbe, roots: Numbers, true: Numbers, weight: Numbers, folds: npt.NDArray[np.int64]
) -> tuple[float, Floats]:
    """The strength whose answers to groups held back are nearest to the truth, and these answers."""
    logits = np.zeros((len(STRENGTHS), *true.shape))
    for fold in np.unique(folds):
        held = folds == fold
        learn = np.where(held, 0.0, weight)
        _fit_standardisation(probe, roots[~held])
        standardised = _standardised(probe, roots)
        for k, (answer, bias) in enumerate(_fit(standardised, true, learn, STRENGTHS)):
            logits[k, held] = standardised[held] @ answer + bias
    errors = [float((weight[:, None] * (each - true) ** 2).sum()) for each in logits]
    best = int(np.argmin(errors))
    return STRENGTHS[best], logits[best].astype(np.float32)


def _fit_standardisation(probe: RidgeProbe, roots: Numbers) -> None:
    """Set the middle and the spread of the values. One that is always the same tells nothing."""
    spread = roots.std(axis=0)
    probe.middle.copy_(torch.from_numpy(roots.mean(axis=0)))
    probe.spread.copy_(torch.from_numpy(np.where(spread < MIN_SPREAD, 1 / MIN_SPREAD, spread)))


def _standardised(probe: RidgeProbe, roots: Numbers) -> Numbers:
    with torch.no_grad():
        standardised = probe.standardise(torch.from_numpy(roots.astype(np.float32)))
    return np.asarray(standardised.numpy(), np.float64)


def _fit(
    values: Numbers, true: Numbers, weight: Numbers, strengths: tuple[float, ...]
) -> list[tuple[Numbers, Numbers]]:
    """(D, C) and (C,) for each strength; by the rows' products where these are fewer than the values."""
    rows = weight > 0
    values, true, weight = values[rows], true[rows], weight[rows]
    share, root = weight / weight.sum(), np.sqrt(weight)[:, None]
    middle: Numbers = share @ values
    usual: Numbers = share @ true
    a, b = root * (values - middle), root * (true - usual)
    wide = len(a) < a.shape[1]
    gram = a @ a.T if wide else a.T @ a
    solutions = []
    for strength in strengths:
        costs = gram + strength * np.eye(len(gram))
        solved = np.asarray(np.linalg.solve(costs, b if wide else a.T @ b), np.float64)
        answer = a.T @ solved if wide else solved
        bias: Numbers = usual - middle @ answer
        solutions.append((answer, bias))
    return solutions
