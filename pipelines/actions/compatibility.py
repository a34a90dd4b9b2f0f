"""Whether a model of actions and a detector go together: what their cards tell, before either is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.actions.card import ActionCard
from pipelines.actions.people_layout import GROUP as PEOPLE
from pipelines.class_names import find, named_by_any
from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.skeleton import columns_of
from pipelines.spec import ActionsSpec


@dataclass(frozen=True, slots=True)
class Traits:
    """What a detector gives. `groups` and `joints` None, `sha256` empty: not known before it is loaded."""

    groups: tuple[str, ...] | None = None
    joints: tuple[str, ...] | None = None
    sha256: str = ""
    has_maps: bool = True


MOTION_ENGINE = "motion"
MOTION_TRAITS = Traits(("object",), (), has_maps=False)  # of the motion detector, which has no card


def traits_of(detector: Detector) -> Traits:
    """Of one that is loaded."""
    description = detector.describe()
    has_maps = description.get("engine") != MOTION_ENGINE
    return Traits(detector.labels.groups, detector.joints, str(description.get("sha256", "")), has_maps)


def carded_traits(card: ModelCard) -> Traits:
    """Of one whose card was completed when it was added, or is as sparse as a person left it."""
    without = card.head is not None and "pose" not in card.head
    joints = card.joints or (() if without else None)
    return Traits(tuple(card.classes.values()) or None, joints, card.sha256)


def check_pair(path: Path, card: ActionCard, spec: ActionsSpec, detector: Traits) -> None:
    """Raises ModelRefused where the model at `path` cannot tell actions of what the detector finds, or not as
    `spec` asks.
    """
    if card.of_pictures:
        raise ModelRefused(
            f"{path}: says what a picture shows, not what is done over time: use it as a camera's "
            "scene (`streamer camera set NAME scene=FILE`, or `streamer analyze --scene`)"
        )
    if card.kind == "features":
        _check_detector(path, card, detector)
    elif card.kind == "pose" and detector.joints is not None:
        joints_of(path, card, detector.joints)
    try:
        check_card(path, card, spec.labels)
        if detector.groups is not None:
            check_groups(path, card, spec.groups, detector.groups)
    except ValueError as error:
        raise ModelRefused(str(error)) from error


def _check_detector(path: Path, card: ActionCard, detector: Traits) -> None:
    """Raise ModelRefused unless the maps and the people are of the detector that the model was trained on."""
    embedder = card.embedder
    assert embedder is not None  # the card is checked for it
    if embedder.strides and not detector.has_maps:
        raise ModelRefused(f"{path}: takes feature maps, and the motion detector has none: choose a model")
    if embedder.people and detector.groups is not None:
        check_people(path, detector.groups)
    digest, trained = detector.sha256, embedder.sha256
    if digest and trained and digest != trained:
        what = "feature maps" if embedder.strides else "boxes"
        raise ModelRefused(
            f"{path}: was trained on the {what} of another detector (SHA-256 {trained[:12]}…, "
            f"this one has {digest[:12]}…): use that one, or train again with this as --detector"
        )


def check_people(path: Path, groups: Sequence[str]) -> None:
    """Raise ModelRefused where a detector of these groups knows no people."""
    if find(PEOPLE, groups) is None:
        raise ModelRefused(
            f"{path}: people are an input, of which the detector knows nothing (it has "
            f"{', '.join(dict.fromkeys(groups))[:120]}): choose another"
        )


def joints_of(path: Path, card: ActionCard, detector_joints: tuple[str, ...]) -> tuple[int, ...]:
    """Which of the detector's joints are the model's. Raises ModelRefused where one is missing."""
    if not detector_joints:
        raise ModelRefused(
            f"{path}: takes poses, and the detector gives none: choose a model such as YOLOv8-pose"
        )
    try:
        return columns_of(detector_joints, card.joints, card.size)
    except ValueError as error:
        raise ModelRefused(f"{path}: {error}: train it on poses of this detector's joints") from error


def check_card(path: Path, card: ActionCard, labels: Sequence[str]) -> float:
    """The model's rate. Raises ValueError where it has none, or one of `labels` is none of its own."""
    if card.rate_hz is None:
        raise ValueError(
            f"{path}: trained on whole clips, without a rate: a stream has no ends to stretch; "
            "train it with --rate"
        )
    labels_of_model = {label for head in card.heads for label in head.labels}
    if unknown := [label for label in labels if label not in labels_of_model]:
        raise ValueError(
            f"action {unknown[0]!r} is none of the model's: {', '.join(sorted(labels_of_model))}"
        )
    return card.rate_hz


def check_groups(
    path: Path, card: ActionCard, asked: tuple[str, ...], detector_groups: tuple[str, ...]
) -> tuple[bool, ...]:
    """Which of a detector's groups are looked at. Raises ValueError where it is none."""
    groups = asked or card.groups
    named = named_by_any(groups, detector_groups)
    watched = tuple(not groups or group in named for group in detector_groups)
    if not card.whole_picture and not any(watched):
        raise ValueError(
            f"{path}: looks at {', '.join(groups)}, of which the detector knows nothing (it has "
            f"{', '.join(dict.fromkeys(detector_groups))[:120]}): choose another detector"
        )
    return watched


def check_class_filter(
    path: Path,
    card: ActionCard,
    asked: tuple[str, ...],
    camera_classes: Sequence[str],
    classes: Mapping[str, str],
) -> None:
    """Raise ValueError where a camera that wants these classes or groups alone leaves nothing to look at.

    `classes`: the group of each class that the detector knows.
    """
    looked_at = asked or card.groups
    if card.whole_picture or not camera_classes or not looked_at:
        return
    named = named_by_any(camera_classes, {*classes, *classes.values()})
    groups_left = {group for name, group in classes.items() if name in named or group in named}
    if not named_by_any(looked_at, groups_left):
        raise ValueError(
            f"{path}: looks at {', '.join(looked_at)}, of which the camera's classes leave nothing (they are "
            f"{', '.join(camera_classes)[:120]}): add {looked_at[0]} to them, or leave actions out"
        )
