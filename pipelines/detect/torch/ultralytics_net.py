"""Builds a detector of Ultralytics from a checkpoint, and makes it answer with raw boxes and scores.

Only `ultralytics.nn.tasks` is imported: no trainer, no predictor, and no torchvision, which may not even be
importable beside this torch. Ultralytics writes settings, asks the network and installs packages at will; the
environment variables below keep it from all three. Ultralytics is AGPL-3.0 and comes with the extra `torch`.
"""

from __future__ import annotations

import copy
import os
import tempfile
from typing import Any

import torch

from pipelines.detect.errors import ModelRefused
from pipelines.detect.torch.pt_file import PtFile

_own_folder: list[tempfile.TemporaryDirectory[str]] = []  # goes with the process


def ultralytics_tasks() -> Any:
    """The module `ultralytics.nn.tasks`, quiet and offline. Raises ModelRefused where it cannot be
    imported.
    """
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ.setdefault("YOLO_VERBOSE", "false")
    if "YOLO_CONFIG_DIR" not in os.environ:
        _own_folder.append(tempfile.TemporaryDirectory(prefix="streamer-ultralytics-"))
        os.environ["YOLO_CONFIG_DIR"] = _own_folder[0].name
    try:
        from ultralytics.nn import tasks
    except (ImportError, OSError) as error:
        raise ModelRefused(
            f"Ultralytics cannot be imported ({' '.join(str(error).split())[:120]}): install the extra torch "
            "as a whole: `make install EXTRAS=torch`"
        ) from error
    return tasks


def build_net(checkpoint: PtFile) -> Any:
    """The torch module with its weights, batch norms folded in, in eval mode, answering raw (see raw_answer).

    Raises ModelRefused where configuration and weights do not belong together.
    """
    tasks = ultralytics_tasks()
    config = copy.deepcopy(checkpoint.config)
    _check_layers(checkpoint, tasks)
    channels = config.get("channels") or config.get("ch") or 3
    try:
        net = tasks.DetectionModel(config, ch=channels, nc=len(checkpoint.names), verbose=False).eval()
        if not any(".bn." in name for name in checkpoint.weights):
            net = net.fuse(verbose=False)  # the file was saved after its norms were folded in
        net.load_state_dict(checkpoint.weights)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        text = " ".join(str(error).split())[:160]
        raise ModelRefused(
            f"{checkpoint.path}: this Ultralytics cannot build its net ({text}): was it trained by another "
            "version? `streamer model export --trust` loads it as it was saved, if you trust it"
        ) from error
    return ready(net)


def ready(net: Any) -> Any:
    """Fold the norms, choose the head that is suppressed afterwards, and stop before boxes are decoded."""
    net = net.float().eval()
    head = net.model[-1]
    if getattr(head, "end2end", False):
        head.end2end = False
    net = net.fuse(verbose=False) if not net.is_fused() else net
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    net.model[-1].training = True  # of the head alone: it answers before its decoder, as in training
    return net


def raw_answer(answer: Any, classes: int) -> tuple[Any, Any]:
    """(distances (B, 4 * bins, cells), class logits (B, classes, cells)) of what the net answers.

    Ultralytics from 8.4 gives them by name, before that as one map a stride.
    """
    if isinstance(answer, dict):
        answer = answer.get("one2many", answer)
        if "boxes" in answer:
            return answer["boxes"], answer["scores"]
        answer = answer["feats"]
    joined = torch.cat([level.flatten(2) for level in answer], 2)
    return joined[:, : joined.shape[1] - classes], joined[:, joined.shape[1] - classes :]


def _check_layers(checkpoint: PtFile, tasks: Any) -> None:
    """Each layer must be one: the builder would also call any function of that name with arguments of the
    file.
    """
    for _, _, name, _ in (*checkpoint.config["backbone"], *checkpoint.config["head"]):
        layer = getattr(torch.nn, name[3:], None) if name.startswith("nn.") else getattr(tasks, name, None)
        if not (isinstance(layer, type) and issubclass(layer, torch.nn.Module)):
            raise ModelRefused(
                f"{checkpoint.path}: {name!r} is no layer of this Ultralytics: update it, or retrain"
            )
