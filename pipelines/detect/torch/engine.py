"""Detection by torch: `.pt` files of Ultralytics on NVIDIA (CUDA), Apple (MPS) or the processor.

Frames are letterboxed in one pass into page-locked memory, from which the device takes them while Python goes
on; normalising, the net's own forward, decoding and suppression happen there, and one small table of boxes
comes back. On CUDA the net runs in float16 (decoding in float32), unless the card says `precision: f32`; else
in float32. Where the device has no room for a batch, the batch is halved for good, and describe() says so.

The weights are read as data, never as code (checkpoint.py). The code path of CUDA has not run on a GPU yet:
docs/gpu.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Ticket
from pipelines.detect.errors import InferenceRejected, InvalidOutput, ModelRefused
from pipelines.detect.feature_maps import frame_maps
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.detect.letterbox import Letterbox, LetterboxPlacement
from pipelines.detect.model import (
    DEFAULT_SIZE,
    MAX_REACH,
    ModelFile,
    check_boxes,
    check_pinned,
    each_frame,
    in_picture,
)
from pipelines.detect.onnx_file import OnnxFile
from pipelines.detect.torch.boxes import COLUMNS, Cells, best_boxes
from pipelines.detect.torch.pt_file import PtFile, read_pt_file
from pipelines.detect.torch.ultralytics_net import build_net, raw_answer
from pipelines.values import Detections, Floats, Frame, Image

DEPTH = 3  # batches in hand: one computing, one waiting its turn, one being read
MAX_BATCH = {"cuda": 32, "mps": 8, "cpu": 1}  # frames a submit
MAX_BOXES = {"cuda": 512, "mps": 512, "cpu": 1024}  # boxes a frame before suppression
ROUNDS = 16  # of suppression, where nothing is to wait for the device
OUT_OF_MEMORY = torch.OutOfMemoryError


class TorchDetector:
    """Raises ModelRefused if the file cannot be loaded and run on one frame. `threads` 0: torch's own choice.

    `device` is "cuda", "cuda:1", "mps" or "cpu"; None is the best there is. `cache_dir` is taken for the sake
    of one signature; this engine keeps nothing.
    """

    def __init__(
        self,
        path: Path,
        card: ModelCard | None = None,
        *,
        threads: int = 0,
        cache_dir: Path | None = None,  # noqa: ARG002
        score: float | None = None,
        device: str | None = None,
    ) -> None:
        self._card = card or ModelCard()
        self._sha256 = check_pinned(path, self._card)
        if self._card.masks:
            raise ModelRefused(
                f"{path}: the card says `masks: true`, and the engine torch runs detectors without masks: "
                "take `masks` out of its sidecar, or add the model as ONNX"
            )
        self._checkpoint = checkpoint = read_pt_file(path)
        self._device = torch.device(device or best_device())
        if threads:
            torch.set_num_threads(threads)
        self._size = self._card.input_size or checkpoint.size or DEFAULT_SIZE
        if any(side % 32 for side in self._size):
            raise ModelRefused(f"{path}: trained at {self._size}: give an input_size in multiples of 32")
        self._head = YoloV8(len(checkpoint.names))
        self._file = ModelFile(path, self._card, _as_metadata(checkpoint), self._sha256)
        self.labels = self._file.labels(self._head)
        self.joints: tuple[str, ...] = ()
        self._strides: tuple[int, ...] = ()  # of the maps that frames come with
        self._levels: list[Any] = []  # the maps of the last run, (B, C, h, w) each
        self.parallel = 1
        self.depth = DEPTH
        kind = self._device.type
        self._accepted = self.max_batch = MAX_BATCH.get(kind, 1)
        self._half = kind == "cuda" and self._card.precision == "auto"
        self._max_boxes, self._rounds = MAX_BOXES.get(kind, 512), None if kind == "cpu" else ROUNDS
        self._limits = self._card.limits(score)
        self._max_reach = MAX_REACH * max(self._size)
        self._warnings: list[str] = []
        self._net = self._placed(build_net(checkpoint))
        self._cells = Cells.of(*self._size, tuple(self._net.model[-1].stride.tolist()), self._device)
        self._group_ids = torch.from_numpy(self.labels.group_ids().copy()).to(self._device)
        self._free = [_Slot(self._size, self._accepted, self._device) for _ in range(self.depth)]
        self._warm_up(path)

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        """On a GPU the batch is under way when this returns; on the processor collect() computes it.

        torch tells nobody when a GPU is done, so `notify` is called at once, and collect() waits.
        """
        if not 1 <= len(frames) <= self._accepted:
            raise ValueError(f"{len(frames)} frames, where one submit takes 1 to {self._accepted}")
        if not self._free:
            raise RuntimeError(f"{self.depth} tickets are open: collect one first")
        slot = self._free.pop()
        ticket = _TorchTicket(tuple(frame.stamp.camera for frame in frames), slot)
        ticket.placements = slot.fill([frame.image for frame in frames])
        if self._device.type != "cpu":
            self._compute(ticket)
        if notify is not None:
            notify()
        return ticket

    def collect(self, ticket: Ticket) -> list[Detections]:
        if not isinstance(ticket, _TorchTicket) or ticket.slot is None:
            raise ValueError("this ticket is spent or another detector's")
        try:
            if self._device.type == "cpu":
                self._compute(ticket)
            if ticket.failure:
                raise InferenceRejected(dict.fromkeys(range(len(ticket.placements)), ticket.failure))
            detections = self._read(ticket.slot.tables(), ticket.placements)
            return self._with_maps(ticket, detections) if ticket.maps and self._strides else detections
        finally:
            self._free.append(ticket.slot)
            ticket.slot = None

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        """What the last layer is given is what the exported graph has where boxes and classes part."""
        last = self._net.model[-1]
        model_strides = [int(stride) for stride in last.stride.tolist()]
        if missing := [stride for stride in strides if stride not in model_strides]:
            raise ModelRefused(
                f"{self._checkpoint.path}: has no feature map of stride {missing[0]}, only of {model_strides}"
            )
        if not self._strides:
            last.register_forward_pre_hook(self._keep_levels)
        self._strides = tuple(sorted({*self._strides, *strides}))
        return sum(last.cv2[model_strides.index(stride)][0].conv.in_channels for stride in strides)

    def _keep_levels(self, last: Any, inputs: tuple[Any, ...]) -> None:
        """A list of its own: the layer may write its answers into the one that it is given."""
        levels = dict(zip(map(int, last.stride.tolist()), inputs[0], strict=True))
        self._levels = [levels[stride] for stride in self._strides]

    def _with_maps(self, ticket: _TorchTicket, detections: list[Detections]) -> list[Detections]:
        assert ticket.slot is not None
        maps = [
            [map_.float().permute(1, 2, 0).cpu().numpy() for map_ in frame]
            for part in ticket.slot.maps
            for frame in zip(*part, strict=True)
        ]
        return [
            replace(each, maps=frame_maps(self._strides, mine, place, self._size))
            for each, mine, place in zip(detections, maps, ticket.placements, strict=True)
        ]

    def forget(self, camera: str) -> None:
        """Nothing is kept per camera."""

    def describe(self) -> dict[str, Any]:
        kind = self._device.type
        return {
            "engine": "torch",
            "engine_version": torch.__version__,
            "device": torch.cuda.get_device_name(self._device) if kind == "cuda" else kind,
            "model": str(self._checkpoint.path),
            "sha256": self._sha256,
            "head": self._head.name,
            "input": list(self._size),
            "precision": "f16" if self._half else "f32",
            "max_batch": self.max_batch,
            "score": self._limits.high,
            "licence": self._card.licence or self._checkpoint.licence,
            "warnings": list(self._warnings),
        }

    # ---- on the device

    def _placed(self, net: Any) -> Any:
        net = net.to(self._device, memory_format=torch.channels_last)
        return net.half() if self._half else net

    def _compute(self, ticket: _TorchTicket) -> None:
        """Run the ticket's frames, in as many goes as the memory of the device asks for."""
        slot, count = ticket.slot, len(ticket.placements)
        assert slot is not None
        slot.results, slot.maps = [], []
        start = 0
        while start < count:
            end = min(count, start + self.max_batch)
            try:
                slot.results.append(slot.send_back(self._boxes(slot.take(start, end)), start))
                slot.maps.append(self._levels)
            except OUT_OF_MEMORY:
                self._make_room()
                if end - start == 1:
                    ticket.failure = (
                        "the device has no memory for even one frame: a smaller model, or fewer workers"
                    )
                    return
                self.max_batch = max(1, (end - start) // 2)
                self._warnings = [
                    f"out of memory with {end - start} frames at once: runs {self.max_batch} at a time since"
                ]
                continue
            start = end
        slot.mark()

    def _boxes(self, canvases: Any) -> Any:
        """(B, K, COLUMNS) of (B, H, W, 3) uint8 RGB on the device."""
        with torch.inference_mode():
            pictures = canvases.permute(0, 3, 1, 2).to(torch.float16 if self._half else torch.float32)
            sides, logits = raw_answer(self._net(pictures.mul_(1 / 255)), self._head.classes)
            return best_boxes(
                sides,
                logits,
                self._cells,
                self._group_ids,
                min_score=self._limits.low,
                nms_iou=self._card.nms_iou,
                max_boxes=self._max_boxes,
                rounds=self._rounds,
            )

    def _make_room(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()

    # ---- on the host

    def _read(self, tables: Sequence[Floats], placements: Sequence[LetterboxPlacement]) -> list[Detections]:
        return each_frame(self._frame, tables, placements)

    def _frame(self, table: Floats, placement: LetterboxPlacement) -> Detections:
        """`table` (K, COLUMNS); its first row has the highest score."""
        if not np.isfinite(table[0, 4]):
            raise InvalidOutput("a score that is infinite or not a number")
        rows = table[table[:, 6] > 0]
        if not len(rows):
            return Detections.empty()
        boxes = np.ascontiguousarray(rows[:, :4])
        check_boxes(boxes, self._max_reach)
        high = self._limits.high_threshold
        return in_picture(
            boxes, rows[:, 4].copy(), rows[:, 5].astype(np.int32), placement, high_threshold=high
        )

    def _warm_up(self, path: Path) -> None:
        """One grey frame, so that a model that cannot run is refused now; it also warms the device up."""
        slot = self._free[0]
        ticket = _TorchTicket(("",), slot)
        ticket.placements = slot.fill([np.full((self._size[1], self._size[0], 3), 114, np.uint8)])
        try:
            self._compute(ticket)
            if ticket.failure:
                raise ModelRefused(f"{path}: {ticket.failure}")
            self._read(slot.tables(), ticket.placements)
        except InferenceRejected as error:
            raise ModelRefused(
                f"{path}: its answer to a grey picture has {error.reasons[0]}: damaged?"
            ) from error
        except RuntimeError as error:
            raise ModelRefused(
                f"{path}: torch cannot run it: {' '.join(str(error).split())[:200]}"
            ) from error


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


class _TorchTicket(Ticket):
    __slots__ = ("failure", "placements", "slot")

    def __init__(self, cameras: tuple[str, ...], slot: _Slot) -> None:
        super().__init__(cameras)
        self.slot: _Slot | None = slot
        self.placements: list[LetterboxPlacement] = []
        self.failure = ""


class _Slot:
    """A batch's canvases (B, H, W, 3) uint8 RGB on the host, page-locked where a GPU reads them."""

    def __init__(self, size: tuple[int, int], batch: int, device: Any) -> None:
        locked = device.type == "cuda"
        self._device = device
        self._canvases = torch.zeros((batch, size[1], size[0], 3), dtype=torch.uint8, pin_memory=locked)
        host: Image = self._canvases.numpy()
        self._letterboxes = [Letterbox(canvas, YoloV8.pixels) for canvas in host]
        self._tables = torch.zeros((batch, MAX_BOXES["cuda"], COLUMNS), pin_memory=True) if locked else None
        self._done = torch.cuda.Event() if locked else None
        self.results: list[Any] = []
        self.maps: list[list[Any]] = []  # of each part of the batch one (B, C, h, w) a stride

    def fill(self, images: Sequence[Image]) -> list[LetterboxPlacement]:
        return [box.put(image) for box, image in zip(self._letterboxes, images, strict=False)]

    def take(self, start: int, end: int) -> Any:
        """Canvases on the device; a copy from page-locked memory does not wait."""
        return self._canvases[start:end].to(self._device, non_blocking=self._done is not None)

    def send_back(self, boxes: Any, start: int) -> Any:
        """Begin to bring boxes to the host; they are there when the mark has been passed."""
        if self._tables is None:
            return boxes
        return self._tables[start : start + len(boxes), : boxes.shape[1]].copy_(boxes, non_blocking=True)

    def mark(self) -> None:
        if self._done is not None:
            self._done.record(torch.cuda.current_stream(self._device))

    def tables(self) -> list[Floats]:
        """(K, COLUMNS) for each frame; waits for the device."""
        if self._done is not None:
            self._done.synchronize()
        return [table for part in self.results for table in part.cpu().numpy()]


def _as_metadata(checkpoint: PtFile) -> OnnxFile:
    """What Ultralytics would write into an ONNX file of it."""
    names = str(dict(enumerate(checkpoint.names)))
    return OnnxFile({"names": names, "license": checkpoint.licence}, frozenset())
