"""Sets of body joints: their names, which are mirror images of each other, and poses as arrays.

A pose is (J, 3) float32: x, y and a score in [0, 1]; a joint that was not seen has score 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from pipelines.values import Floats

COCO_17 = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
COCO_BONES = (  # pairs of joints that are drawn as a line
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (7, 9), (6, 8)),
    *((8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
JHMDB_15 = (
    *("neck", "belly", "face", "right_shoulder", "left_shoulder", "right_hip", "left_hip"),
    *("right_elbow", "left_elbow", "right_knee", "left_knee", "right_wrist", "left_wrist"),
    *("right_ankle", "left_ankle"),
)
MIN_JOINTS, MAX_JOINTS = 5, 133  # 133: a whole body with hands and face
MIN_SCORE = 0.05  # below: not seen


@dataclass(frozen=True, slots=True)
class Skeleton:
    """`names` in the order of the joints. Raises ValueError for names that are no set of joints."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not MIN_JOINTS <= len(self.names) <= MAX_JOINTS:
            raise ValueError(
                f"{len(self.names)} joints, where a body has {MIN_JOINTS} to {MAX_JOINTS}: "
                "name each joint once"
            )
        if len(set(self.names)) < len(self.names):
            raise ValueError("a joint is named twice")

    def __len__(self) -> int:
        return len(self.names)

    def mirrored(self) -> tuple[int, ...]:
        """For each joint the one that it becomes in a mirror: left and right change places."""
        index = {_plain(name): i for i, name in enumerate(self.names)}
        return tuple(index.get(_other_side(_plain(name)), i) for i, name in enumerate(self.names))


def usual_skeleton(joints: int) -> Skeleton:
    """The usual set with so many joints; joints without names where there is none."""
    known = {len(names): names for names in (COCO_17, JHMDB_15)}
    return Skeleton(known.get(joints, tuple(f"joint_{i}" for i in range(joints))))


def columns_of(given: tuple[str, ...], wanted: tuple[str, ...], count: int) -> tuple[int, ...]:
    """For each of the `wanted` joints, `count` of them, its place among those `given`; empty where they are
    the same. Where one side has no names, the numbers must agree.

    Raises ValueError where one is missing.
    """
    nameless = not wanted or any(re.fullmatch(r"joint_\d+", name) for name in (*given, *wanted))
    if nameless and len(given) == count:
        return ()
    if nameless:
        raise ValueError(f"takes poses of {count} joints, the detector gives {len(given)}")
    index = {_plain(name): i for i, name in enumerate(given)}
    if missing := [name for name in wanted if _plain(name) not in index]:
        raise ValueError(f"takes the joint {missing[0]!r}, which the detector's poses do not have")
    found = tuple(index[_plain(name)] for name in wanted)
    return () if found == tuple(range(len(given))) else found


def _plain(name: str) -> str:
    """ "LShoulder", "left-shoulder" and "l_shoulder" are all "left_shoulder"."""
    text = re.sub(r"([a-z])([A-Z])", r"\1_\2", name)
    text = re.sub(r"^([LR])([A-Z])", r"\1_\2", text)
    words = re.split(r"[-_ ]+", text.lower())
    sides = {"l": "left", "r": "right"}
    return "_".join(sides.get(word, word) for word in words)


def _other_side(name: str) -> str:
    swap = {"left": "right", "right": "left"}
    return "_".join(swap.get(word, word) for word in name.split("_"))


def fill_missing(poses: Floats) -> Floats:
    """(T, J, 3) with gaps filled: a joint not seen is where it was between, before or after.

    Not finite coordinates count as not seen. A joint never seen lies at the middle of those that were.
    """
    poses = np.array(poses, np.float32)
    seen = np.isfinite(poses).all(axis=2) & (poses[:, :, 2] >= MIN_SCORE)
    poses[~seen] = 0.0
    if seen.all():
        return poses
    steps = np.arange(len(poses))
    known = poses[seen][:, :2]
    middle = known.mean(axis=0) if len(known) else np.zeros(2, np.float32)
    for joint in np.flatnonzero(~seen.all(axis=0)):
        there = seen[:, joint]
        if not there.any():
            poses[:, joint, :2] = middle
            continue
        for axis in (0, 1):
            gaps = np.interp(steps[~there], steps[there], poses[there, joint, axis])
            poses[~there, joint, axis] = gaps
    return poses
