"""What a network is given does not depend on where a body stands, how large it is, or what was not seen."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.actions.inputs import box_features, boxes_to_values, normalise_poses
from pipelines.skeleton import COCO_17, Skeleton, fill_missing, usual_skeleton


def body(seed: int = 0, frames: int = 8, joints: int = 17) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(1, joints, 2)) + 0.1 * rng.normal(size=(frames, joints, 2)).cumsum(axis=0)
    return np.concatenate([places, np.ones((frames, joints, 1))], axis=2).astype(np.float32)


def test_a_pose_is_the_same_wherever_the_body_stands_and_however_large_it_is() -> None:
    pose = body()
    moved = pose * [37.0, 37.0, 1.0] + [400.0, 90.0, 0.0]
    assert np.allclose(
        normalise_poses(pose[None]), normalise_poses(moved[None].astype(np.float32)), atol=1e-4
    )


def test_a_walk_through_the_picture_stays_visible_after_normalisation() -> None:
    pose = body()
    walking = pose.copy()
    walking[:, :, 0] += np.linspace(0, 4, len(pose))[:, None]
    still, moved = normalise_poses(np.stack([pose, walking]))
    assert np.ptp(moved[..., 0].mean(axis=1)) > np.ptp(still[..., 0].mean(axis=1)) + 1


def test_joints_that_are_missing_or_not_numbers_are_filled_between_frames() -> None:
    pose = body(frames=5)
    pose[:, 3, :2] = np.arange(5)[:, None]
    broken = pose.copy()
    broken[2, 3] = np.nan
    broken[4, 3, 2] = 0.0
    filled = fill_missing(broken)
    assert filled[2, 3, :2].tolist() == [2, 2]
    assert filled[4, 3, :2].tolist() == [3, 3]
    assert filled[[2, 4], 3, 2].tolist() == [0, 0]
    assert np.isfinite(normalise_poses(broken[None])).all()


def test_a_body_that_was_never_seen_gives_finite_values() -> None:
    assert np.isfinite(normalise_poses(np.full((1, 6, 17, 3), np.nan, np.float32))).all()
    assert np.isfinite(box_features(np.full((1, 6, 4), np.nan, np.float32))).all()


def test_a_box_twice_as_near_has_the_same_features() -> None:
    x = np.linspace(0.3, 0.5, 10)
    boxes = np.stack((x, np.full(10, 0.5), np.full(10, 0.05), np.full(10, 0.15)), axis=1).astype(np.float32)
    near = boxes * 2
    assert np.allclose(box_features(boxes[None]), box_features(near[None]), atol=1e-4)


def test_pixels_that_are_not_square_in_shares_are_made_alike() -> None:
    (values,) = boxes_to_values(np.array([[0.25, 0.2, 0.75, 0.6]], np.float32), 16 / 9)
    assert values == pytest.approx([0.5 * 16 / 9, 0.4, 0.5 * 16 / 9, 0.4])


@pytest.mark.parametrize(
    ("names", "left", "right"),
    [
        (COCO_17, 5, 6),
        (("Nose", "LShoulder", "RShoulder", "LHip", "RHip"), 1, 2),
        (("head", "l_arm", "r_arm", "l_leg", "r_leg"), 3, 4),
    ],
)
def test_left_and_right_change_places_in_a_mirror(names: tuple[str, ...], left: int, right: int) -> None:
    mirrored = Skeleton(names).mirrored()
    assert (mirrored[left], mirrored[right], mirrored[0]) == (right, left, 0)
    assert [mirrored[i] for i in mirrored] == list(range(len(names)))


def test_a_set_of_joints_has_no_doubles() -> None:
    with pytest.raises(ValueError, match="twice"):
        Skeleton(("a", "b", "c", "d", "a"))
    assert len(usual_skeleton(13)) == 13
