"""Checkpoints of a training run: written whole or not at all, read without running what is in them."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.train.actions.data import DataRefused

FORMAT = "streamer actions 1"


@dataclass(frozen=True, slots=True, eq=False)
class TrainingCheckpoint:
    """`identity` is plain data that says of which run it is; `state` tensors and plain data."""

    identity: dict[str, Any]
    state: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: TrainingCheckpoint) -> None:
    """Replaces `path` when it is complete. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    torch.save({"format": FORMAT, "identity": checkpoint.identity, "state": checkpoint.state}, partial)
    partial.replace(path)


def load_checkpoint(path: Path, identity: dict[str, Any] | None = None) -> TrainingCheckpoint:
    """Raises DataRefused for a file that is none of ours, is damaged, or is of another run than `identity`.

    A checkpoint is a pickle; only tensors and plain data are taken from it, so that none runs code.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other protocols: they are refused below
            raw = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        first = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DataRefused(
            f"{path}: no checkpoint of ours, or damaged ({first}): remove it to begin anew"
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise DataRefused(f"{path}: no checkpoint of `streamer actions train`: remove it to begin anew")
    checkpoint = TrainingCheckpoint(raw["identity"], raw["state"])
    if identity is not None and checkpoint.identity != identity:
        differ = sorted(k for k in identity if checkpoint.identity.get(k) != identity[k])
        raise DataRefused(
            f"{path}: of another run (other {', '.join(differ) or 'contents'}): give the same data and "
            "options, or another --out"
        )
    return checkpoint
