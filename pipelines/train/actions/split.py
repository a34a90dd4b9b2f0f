"""Who trains and who is held back: whole groups (subjects, videos, scenes), so that nothing leaks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.train.actions.data import ActionData, DataRefused, Labelled

MIN_GROUPS = 2  # a class must be seen in so many: one trains, one is held back


def check_apart(data: ActionData, apart: bool) -> None:
    """Raise DataRefused where a split would leak: groups unknown, or one group given on two sides.

    `apart`: the user's word that every clip is a scene of its own.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for item in data.sequences:
        if item.split:
            sides[item.group].add(item.split)
    leaking = sorted(group for group, splits in sides.items() if len(splits) > 1)
    if leaking:
        first = " and ".join(sorted(sides[leaking[0]]))
        raise DataRefused(
            f"group {leaking[0]!r} stands in {first} ({len(leaking)} such groups): what is learnt of it "
            "would be tested on it; put each group on one side"
        )
    if not data.grouped and not apart:
        raise DataRefused(
            "nothing says which clips belong together, and a random split over clips of one scene or subject "
            "leaks: add a column `group` (or `subject`, `video`, `scene`), give --group-by REGEX on the "
            "file's path, or say --apart where every clip is a scene of its own"
        )


def check_classes(data: ActionData) -> None:
    """Raise DataRefused for a class that is in fewer than two groups: it cannot be learnt and tested."""
    for position, head in enumerate(data.heads):
        groups: list[set[str]] = [set() for _ in head.labels]
        for item in data.sequences:
            present = np.nan_to_num(item.targets[position]).max(axis=0)
            for label in np.flatnonzero(present > 0):
                groups[label].add(item.group)
        for name, in_groups in zip(head.labels, groups, strict=True):
            if len(in_groups) < MIN_GROUPS:
                raise DataRefused(
                    f"label {name!r} is in {len(in_groups)} clip or group: {MIN_GROUPS} at least, one to "
                    "learn from and one to hold back; add clips or leave the label out"
                )


def part(data: ActionData, *splits: str) -> ActionData:
    """The sequences of these given splits."""
    return data.subset(item for item in data.sequences if item.split in splits)


def hold_back(data: ActionData, share: float, seed: int) -> tuple[ActionData, ActionData]:
    """(the rest, about `share` of the groups), with each label's share as near as whole groups allow."""
    folds = round(1 / share)
    index = fold_of(data.sequences, max(2, folds), seed)
    held = [item for item, fold in zip(data.sequences, index, strict=True) if fold == 0]
    rest = [item for item, fold in zip(data.sequences, index, strict=True) if fold != 0]
    return data.subset(rest), data.subset(held)


def fold_of(sequences: Sequence[Labelled], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """A fold (0 to folds - 1) for each sequence: whole groups, the largest first, each to the fold that then
    is nearest to an equal share of every label. Raises DataRefused for fewer groups than folds."""
    counts: dict[str, npt.NDArray[np.float64]] = {}
    for item in sequences:
        row = np.concatenate([np.nan_to_num(t).mean(axis=0) for t in item.targets])
        counts[item.group] = counts.get(item.group, 0) + row
    if len(counts) < folds:
        raise DataRefused(f"{len(counts)} groups cannot be cut into {folds} parts: add groups")
    rng = np.random.default_rng(seed)
    names = sorted(counts)
    order = sorted(rng.permutation(len(names)), key=lambda i: -counts[names[i]].sum())
    total = np.sum([counts[name] for name in names], axis=0).clip(1e-9)
    filled = np.zeros((folds, len(total)))
    chosen = {}
    for i in order:
        share = counts[names[i]] / total
        cost = [
            float((((filled[k] + share) * folds) ** 2 - (filled[k] * folds) ** 2).sum()) for k in range(folds)
        ]
        best = int(np.argmin(cost))
        filled[best] += share
        chosen[names[i]] = best
    return np.array([chosen[item.group] for item in sequences], np.int64)
