"""What all engines that run a weights file share: the file, its head and labels, and its answers' meaning."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from pipelines.detect.card import ModelCard, ScoreLimits
from pipelines.detect.errors import InferenceRejected, InvalidOutput, ModelRefused
from pipelines.detect.heads import Candidates, Head, Signature, find_head
from pipelines.detect.heads.base import Shape
from pipelines.detect.labels import COCO_80, labels_of
from pipelines.detect.letterbox import LetterboxPlacement
from pipelines.detect.mask_placement import masks_in_picture
from pipelines.detect.nms import suppress, suppress_other_classes, suppress_rotated
from pipelines.detect.onnx_file import OnnxFile, read_onnx
from pipelines.detect.picture_input import GraphInput, PictureInput, picture_input
from pipelines.skeleton import Skeleton, usual_skeleton
from pipelines.values import Detections, Floats, Ints, Labels, Longs

MAX_CANDIDATES = 5000  # boxes above the score before suppression; a picture of a dense crowd has some hundred
DYNAMIC_INT8 = (
    "dynamic int8 model: slower than its float32 original on every CPU, since each convolution measures and "
    "rounds its input anew for every picture; prefer that one, and `streamer model quantize` for int8"
)
ASSUMED_CLASSES = (
    "neither the file nor a sidecar names its classes, and its outputs do not tell how many there are: taken "
    "to be COCO's {}; if they are others, list them as `classes` in the sidecar"
)
DEFAULT_SIZE = (640, 640)
MAX_REACH = 10.0  # inputs; a box beyond is no box
MAX_JOINT_REACH = 1.5  # pictures from the middle
LOW_CONFIDENCE_RATIO = 0.25  # of the high threshold: from here on a box is given as one of low confidence

A = TypeVar("A")  # an engine's answer for one frame


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A weights file that was looked at but not yet loaded by an engine."""

    path: Path
    card: ModelCard
    onnx: OnnxFile
    sha256: str

    @classmethod
    def read(cls, path: Path, card: ModelCard | None) -> ModelFile:
        """Raise ModelRefused if it is no ONNX file or not the one its card was written for."""
        card = card or ModelCard()
        return cls(path, card, read_onnx(path), check_pinned(path, card))

    def picture(self, inputs: Sequence[GraphInput]) -> PictureInput:
        """How the graph takes its picture; raise ModelRefused where it takes none."""
        try:
            return picture_input(inputs)
        except ModelRefused as error:
            raise ModelRefused(f"{self.path}: {error}") from error

    def input_size(self, shape: Shape) -> tuple[int, int]:
        """(width, height) for a picture's input of `shape` [B, 3, H, W]."""
        height, width = shape[2:]
        if width is not None and height is not None:
            return width, height
        return self.card.input_size or _exported_size(self.onnx.metadata) or DEFAULT_SIZE

    def head(
        self,
        size: tuple[int, int],
        outputs: Sequence[Shape],
        names: Sequence[str] = (),
        integers: Sequence[bool] = (),
    ) -> Head:
        """Of outputs of these shapes, with their names, and which of them are of whole numbers."""
        named = len(self.card.classes) or len(_exported_names(self.onnx.metadata))
        model = Signature(
            *size,
            tuple(outputs),
            self.onnx.metadata,
            self.onnx.operators,
            classes=named,
            joints=len(self.card.joints),
            names=tuple(names),
            integers=tuple(integers),
        )
        try:
            head = find_head(model, self.card.head)
            return self._with_masks(head) if self.card.masks else head
        except ModelRefused as error:
            raise ModelRefused(f"{self.path}: {error}") from error

    def _with_masks(self, head: Head) -> Head:
        given = head.with_masks()
        if given is None:
            raise ModelRefused(
                f"the card says `masks: true`, and this model (head {head.name}) has none that are read: "
                "take `masks` out of its sidecar"
            )
        return given

    def labels(self, head: Head) -> Labels:
        """From the card, else the file's metadata, else COCO-80 where there are 80 classes."""
        if self.card.classes:
            labels = Labels(tuple(self.card.classes), tuple(self.card.classes.values()))
            source = "its sidecar"
        else:
            names = _exported_names(self.onnx.metadata)
            usual = head.usual_names or (("person",) if head.joints else COCO_80)
            labels, source = labels_of(names or usual), "its metadata" if names else "COCO"
        if len(labels.names) != head.classes:
            raise ModelRefused(
                f"{self.path}: the model has {head.classes} classes, but {source} names {len(labels.names)}:"
                f" list all its classes with their groups in {self.path.with_suffix('.yaml').name} beside it"
            )
        return labels

    def joints(self, head: Head) -> tuple[str, ...]:
        """Names of the keypoints that `head` gives: from the card, else the metadata, else the usual ones."""
        names = self.card.joints or _exported_joints(self.onnx.metadata)
        if names and len(names) != head.joints:
            raise ModelRefused(
                f"{self.path}: the model has {head.joints} keypoints, but {len(names)} are named: list "
                "all its `joints` in its sidecar, or none"
            )
        try:
            return (Skeleton(names) if names else usual_skeleton(head.joints)).names if head.joints else ()
        except ValueError as error:
            raise ModelRefused(f"{self.path}: its joints: {error}") from error

    def check_answer(self, head: Head, answer: Sequence[Floats]) -> None:
        """Raise ModelRefused if the answer to a plain grey frame is not one that `head` can read."""
        try:
            found = head.decode(answer, self.card.score)
            head.check(answer)
            if found.prototypes is not None and not np.isfinite(found.prototypes).all():
                raise InvalidOutput("masks that are infinite or not numbers")
        except InvalidOutput as error:
            raise ModelRefused(
                f"{self.path}: its answer to a grey picture has {error}: its weights are damaged, or it "
                "is read by the wrong head: export it again, or name its `head` in a sidecar"
            ) from error

    def warnings(self, head: Head | None = None) -> list[str]:
        """What an operator should know of the file, and of what its `head` had to assume."""
        found = [DYNAMIC_INT8] if self.onnx.dynamic_int8 else []
        if head is not None and not (head.classes_in_shape or self._names_classes):
            found.append(ASSUMED_CLASSES.format(head.classes))
        return found

    @property
    def _names_classes(self) -> bool:
        return bool(self.card.classes or _exported_names(self.onnx.metadata))

    @property
    def licence(self) -> str:
        return self.card.licence or self.onnx.metadata.get("license", "")


def sha256_of(path: Path) -> str:
    """Raise ModelRefused if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelRefused(f"{path}: {error.strerror or error}: give the path of an .onnx file") from error


def check_pinned(path: Path, card: ModelCard) -> str:
    """The file's SHA-256. Raise ModelRefused if it is not the one its card was written for."""
    digest = sha256_of(path)
    if card.sha256 and card.sha256 != digest:
        raise ModelRefused(
            f"{path}: changed since it was added (SHA-256 {digest[:12]}…, expected {card.sha256[:12]}…):"
            " put the original back, or remove the model and add it again"
        )
    return digest


def how_it_runs(at_once: int, parallel: int, fixed: int | None) -> str:
    """In words: how many pictures a run takes `at_once`, of a file whose batch is `fixed` (None: free)."""
    if fixed is None:
        return f"free batch: up to {at_once} pictures at once"
    if fixed == 1:
        return "fixed batch of 1: pictures one by one" + (
            f", {parallel} side by side" if parallel > 1 else ""
        )
    if at_once == fixed:
        return (
            f"fixed batch of {fixed}: filled up where fewer pictures wait, so that one costs as much as "
            f"{fixed}; export it with batch 1 or a free one"
        )
    return f"its fixed batch of {fixed} could be made free: up to {at_once} pictures at once"


def told_of_masks(head: Head) -> dict[str, bool]:
    """For describe(): `masks`, whether they are computed; nothing for a model that has none."""
    return {"masks": head.masks} if head.masks or head.with_masks() is not None else {}


def in_picture(
    boxes_xyxy: Floats,
    scores: Floats,
    class_ids: Ints,
    placement: LetterboxPlacement,
    keypoints: Floats | None = None,
    high_threshold: float = 0.0,
    coefficients: Floats | None = None,
    prototypes: Floats | None = None,
    size: tuple[int, int] | None = None,
) -> Detections:
    """Boxes, and joints (N, J, 3), in pixels of the model's input, normalised to the picture; boxes all in
    the border go. A joint that is not finite, or a picture's size away from the picture, is unknown. Masks
    are given where there are `coefficients`, `prototypes` and the `size` (width, height) of the input."""
    units = placement.to_unit(boxes_xyxy)
    inside = (units[:, 2] > units[:, 0]) & (units[:, 3] > units[:, 1])
    if keypoints is not None:
        keypoints = np.array(keypoints, np.float32)
        keypoints[..., :2] = (keypoints[..., :2] - placement.offset[:2]) * placement.per_pixel[:2]
        near = (np.abs(keypoints[..., :2] - 0.5) <= MAX_JOINT_REACH).all(axis=2)  # false for NaN
        keypoints[~(near & np.isfinite(keypoints[..., 2]))] = 0.0
        keypoints[..., 2].clip(0.0, 1.0, out=keypoints[..., 2])
    masks = None
    if coefficients is not None and prototypes is not None and size is not None:
        masks = masks_in_picture(coefficients, prototypes, units, placement, size)
    detections = Detections(
        units, scores, class_ids, keypoints=keypoints, high_threshold=high_threshold, masks=masks
    )
    return detections if inside.all() else detections.take(inside)


def each_frame(
    process: Callable[[A, LetterboxPlacement], Detections],
    outputs: Sequence[A],
    placements: Sequence[LetterboxPlacement],
) -> list[Detections]:
    """`process` the output of every frame. Raises InferenceRejected, with the good frames in it."""
    results: list[Detections | None] = []
    reasons: dict[int, str] = {}
    for i, (output, placement) in enumerate(zip(outputs, placements, strict=True)):
        try:
            results.append(process(output, placement))
        except InvalidOutput as error:
            reasons[i] = str(error)
            results.append(None)
    if reasons:
        raise InferenceRejected(reasons, tuple(results))
    return [detections for detections in results if detections is not None]


class Postprocessor:
    """Turns a model's raw outputs into Detections: decode, check, suppress within groups, normalise."""

    def __init__(
        self, head: Head, labels: Labels, size: tuple[int, int], limits: ScoreLimits, nms_iou: float
    ) -> None:
        self._head = head
        self._group_ids = labels.group_ids()
        self._size = size
        self._max_reach = MAX_REACH * max(size)
        self._limits = limits
        self._nms_iou = nms_iou

    def run(
        self,
        outputs: Sequence[Sequence[Floats]],
        placements: Sequence[LetterboxPlacement],
        *,
        low_confidence: bool = False,
    ) -> list[Detections]:
        """`outputs[i]` is frame i's share of each output. Raises InferenceRejected, with the good frames."""
        return each_frame(self._with_low_confidence if low_confidence else self._frame, outputs, placements)

    def _with_low_confidence(self, output: Sequence[Floats], placement: LetterboxPlacement) -> Detections:
        """With those of low confidence. The others are as without: a lower score suppresses no higher."""
        every = self._frame(
            output, placement, min(self._limits.low, self._limits.high * LOW_CONFIDENCE_RATIO)
        )
        confident = every.scores >= self._limits.low
        return replace(every.take(confident), low_confidence=every.take(~confident))

    def _frame(
        self, output: Sequence[Floats], placement: LetterboxPlacement, score: float | None = None
    ) -> Detections:
        min_score = self._limits.low if score is None else score
        with np.errstate(over="ignore", invalid="ignore"):  # absurd numbers are refused below, as boxes
            found = self._head.decode(output, min_score)
        if not len(found.scores):
            return Detections.empty()
        self._check(found.boxes_xyxy)
        keep = self._suppress(found)
        return in_picture(
            found.boxes_xyxy[keep],
            found.scores[keep],
            found.class_ids[keep],
            placement,
            None if found.keypoints is None else found.keypoints[keep],
            self._limits.high_threshold,
            None if found.coefficients is None else found.coefficients[keep],
            found.prototypes,
            self._size,
        )

    def _suppress(self, found: Candidates) -> Longs:
        """Positions of the boxes that are kept. Of a head whose boxes are final only those go that show what
        a surer box of another class of their group shows."""
        boxes, scores, class_ids, rotated = found.boxes_xyxy, found.scores, found.class_ids, found.rotated
        groups = self._group_ids[class_ids]
        if self._head.suppressed:
            return suppress_other_classes(boxes, scores, class_ids, groups, self._nms_iou)
        if rotated is not None:
            return suppress_rotated(rotated, scores, groups, self._nms_iou)
        return suppress(boxes, scores, groups, self._nms_iou)

    def _check(self, boxes: Floats) -> None:
        if len(boxes) > MAX_CANDIDATES:
            raise InvalidOutput(f"{len(boxes)} boxes, where {MAX_CANDIDATES} are possible")
        check_boxes(boxes, self._max_reach)


def check_boxes(boxes_xyxy: Floats, max_reach: float) -> None:
    """Raise InvalidOutput for what is no box within `max_reach` pixels of the picture's corner."""
    if not np.abs(boxes_xyxy).max() <= max_reach:  # also true for NaN
        raise InvalidOutput("a box that is infinite, not a number or far outside the picture")
    if (boxes_xyxy[:, 2:] < boxes_xyxy[:, :2]).any():
        raise InvalidOutput("a box of negative size")


def _exported_names(metadata: dict[str, str]) -> tuple[str, ...]:
    """Class names as Ultralytics writes them, "{0: 'person', …}"; empty if there are none to be read."""
    try:
        names = ast.literal_eval(metadata.get("names", ""))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or sorted(names) != list(range(len(names))):
        return ()
    return tuple(str(names[i]) for i in range(len(names)))


def _exported_joints(metadata: dict[str, str]) -> tuple[str, ...]:
    """Names of keypoints as Ultralytics writes them, "{0: ['nose', …]}"; empty if none can be read."""
    try:
        names = ast.literal_eval(metadata.get("kpt_names", ""))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    first = names.get(0) if isinstance(names, dict) else names
    return tuple(map(str, first)) if isinstance(first, (list, tuple)) else ()


def _exported_size(metadata: dict[str, str]) -> tuple[int, int] | None:
    """(width, height) from Ultralytics' "imgsz", which is "[height, width]"."""
    numbers = metadata.get("imgsz", "").strip("[] ").split(",")
    if len(numbers) != 2 or not all(n.strip().isdecimal() for n in numbers):
        return None
    return int(numbers[1]), int(numbers[0])
