"""Runs an exported action model on OpenVINO or ONNX Runtime: no torch, the same answers within 1e-3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.actions.card import ActionCard, read_action_card, sidecar_of
from pipelines.actions.inputs import prepare
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.detect.onnx_file import read_onnx
from pipelines.values import Floats

Runner = Callable[[Floats], list[Floats]]
ENGINES = ("openvino", "onnx")
BATCH = 64  # windows a call; more are run in turns, so that memory has a bound
ATTENTION = "attention"


class ActionModel:
    """A graph (B, T, …) -> probabilities (B, C) for each head, in the card's order, and attention (B, T).

    ONNX Runtime is the default: for graphs as small as these it takes a third of OpenVINO's time.
    Raises ModelRefused if the file or its sidecar cannot be read, do not belong together, or do not run.
    """

    def __init__(self, path: Path, *, engine: str = "onnx", threads: int = 1) -> None:
        self.path = path
        self.card: ActionCard = read_action_card(sidecar_of(path))
        read_onnx(path)
        self.sha256 = sha256_of(path)
        if self.card.sha256 != self.sha256:
            raise ModelRefused(
                f"{path}: not the file that its sidecar was written for (SHA-256 {self.sha256[:12]}…, "
                f"expected {self.card.sha256[:12] or 'one'}…): export it again with `streamer actions export`"
            )
        self.engine = engine
        self._run = open_graph(path, engine, threads)
        self._try_out()

    def classify(self, windows: Floats) -> tuple[list[Floats], Floats]:
        """Raw windows (B, T, …) as the card says -> one (B, C) a head, and (B, T). B may be 0."""
        parts = [self._one(windows[i : i + BATCH]) for i in range(0, len(windows), BATCH)]
        if not parts:
            empty = np.zeros((0, self.card.window), np.float32)
            return [np.zeros((0, len(h.labels)), np.float32) for h in self.card.heads], empty
        joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        return joined[:-1], joined[-1]

    def _one(self, windows: Floats) -> list[Floats]:
        return self._run(prepare(self.card.kind, windows))

    def _try_out(self) -> None:
        card = self.card
        shapes = [(2, len(head.labels)) for head in card.heads] + [(2, card.window)]
        blank = np.zeros((2, card.window, *card.frame_shape()), np.float32)
        answer = self._one(blank)
        answered = [tuple(a.shape) for a in answer]
        if answered != shapes:
            raise ModelRefused(
                f"{self.path}: its answers have the shapes {answered}, its sidecar says {shapes}: "
                "labels or window were changed; export the model again"
            )
        if not all(np.isfinite(a).all() for a in answer):
            raise ModelRefused(f"{self.path}: its answer to an empty window is not finite: train it again")

    def describe(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "model": str(self.path),
            "sha256": self.sha256,
            "kind": self.card.kind,
            "window": self.card.window,
            "rate_hz": self.card.rate_hz,
            "heads": {head.name: list(head.labels) for head in self.card.heads},
        }


def open_graph(path: Path, engine: str, threads: int = 1) -> Runner:
    """A function from the one input to all outputs in order. Raises ModelRefused."""
    if engine not in ENGINES:
        raise ModelRefused(f"unknown engine {engine!r} for actions: use {' or '.join(ENGINES)}")
    return _openvino(path, threads) if engine == "openvino" else _onnx(path, threads)


def _openvino(path: Path, threads: int) -> Runner:
    from pipelines.detect.graph import ov

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # it would hold the calling thread on the first core
        "INFERENCE_PRECISION_HINT": "f32",  # small graphs: bf16 gains little and moves probabilities
    }
    try:
        compiled = ov.Core().compile_model(path, "CPU", settings)
        request = compiled.create_infer_request()
    except RuntimeError as error:
        raise ModelRefused(f"{path}: OpenVINO cannot load it: {_last_line(error)}") from error

    def run(values: Floats) -> list[Floats]:
        try:
            request.infer([values])
        except RuntimeError as error:
            raise ModelRefused(
                f"{path}: OpenVINO cannot run it on {values.shape}: {_last_line(error)}"
            ) from error
        return [np.array(tensor.data, np.float32) for tensor in request.output_tensors]

    return run


def _onnx(path: Path, threads: int) -> Runner:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    refusals = (
        *(errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf),
        *(errors.NoSuchFile, errors.NotImplemented, errors.RuntimeException),
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
    except refusals as error:
        raise ModelRefused(f"{path}: ONNX Runtime cannot load it: {_last_line(error)}") from error

    def run(values: Floats) -> list[Floats]:
        try:
            outputs: Sequence[Floats] = session.run(None, {name: values})
        except refusals as error:
            raise ModelRefused(
                f"{path}: ONNX Runtime cannot run it on {values.shape}: {_last_line(error)}"
            ) from error
        return list(outputs)

    return run


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
