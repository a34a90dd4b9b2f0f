"""Reads an Ultralytics `.pt` as data: what net it is, its weights and its class names. Nothing in it is run.

Such a file is a pickle of whole Python objects. It is loaded with torch's `weights_only` unpickler, which
refuses everything it is not told of, and it is told of empty shells in place of Ultralytics' and torch's
classes: loading fills them with attributes and calls no code of any of them. (Allowing the real classes
would not do: their constructors take a configuration in which a text is given to eval().) The net is then
built anew from the configuration found (ultralytics_net.py), which is checked here, and takes the weights.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.detect.errors import ModelRefused
from pipelines.detect.torch.pickle_names import imported_names

DETECTORS = frozenset({"DetectionModel", "YOLOv10DetectionModel"})
_SHELLS = ("ultralytics.", "torch.nn.modules.")  # what stands for itself as attributes alone
# What checkpoints also hold and a detector has no use for; stood in for by something that does nothing.
_INERT = frozenset(
    {
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "builtins.getattr",
        "builtins.set",
        "builtins.slice",
        "argparse.Namespace",
        "types.SimpleNamespace",
        "collections.defaultdict",
        "functools.partial",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.dtype",
        "numpy.ndarray",
        "_codecs.encode",
    }
)
_ACTIVATION = re.compile(r"(torch\.)?nn\.\w+\([\w=., -]*\)")
_LAYER = re.compile(r"(nn\.)?\w+")
_SHOWN = 4  # names in a refusal


@dataclass(frozen=True, slots=True, eq=False)
class PtFile:
    """`config` is the net as Ultralytics' YAML describes it, `weights` its state by name, as float32.

    `size` is the (width, height) it was trained at, where the file says so.
    """

    path: Path
    config: dict[str, Any]
    weights: dict[str, Any]  # torch.Tensor
    names: tuple[str, ...]
    size: tuple[int, int] | None
    licence: str


def read_pt_file(path: Path) -> PtFile:
    """Raise ModelRefused, in one line, for what is no detector of Ultralytics or would run code."""
    content = _load(path, imported_names(path))
    content = content if isinstance(content, dict) else {"model": content}
    net = content.get("ema") or content.get("model")
    kind = type(net).__name__
    if not isinstance(net, _Shell) or kind not in DETECTORS:
        raise ModelRefused(
            f"{path}: holds {_kind(net)}, where a detector of Ultralytics is expected: only detection models "
            "(task detect) can be used"
        )
    attributes = vars(net)
    config = _checked_config(path, attributes.get("yaml"))
    weights = dict(_tensors(net))
    if not weights:
        raise ModelRefused(f"{path}: holds no weights: give the best.pt of a finished training")
    return PtFile(
        path,
        config,
        weights,
        _class_names(path, attributes.get("names"), config),
        _trained_size(content.get("train_args"), attributes.get("args")),
        str(content.get("license") or "AGPL-3.0 (Ultralytics)"),
    )


class _Shell:
    """Takes the attributes of an object and nothing of its behaviour."""


class _Inert:
    """Takes any arguments and state, and is nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Nothing is kept."""


def _load(path: Path, names: Iterable[str]) -> Any:
    # Python 2's names, which protocol 2 writes, as torch's unpickler looks them up.
    names = {re.sub(r"^__builtin__\.", "builtins.", name) for name in names}
    stands_for = {name: stand_in for name in names if (stand_in := _stand_in(name)) is not None}
    allowed = [(stand_in, name) for name, stand_in in stands_for.items()]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        strange = sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - set(stands_for))
        raise ModelRefused(_refusal(path, strange, error)) from error
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        text = " ".join(str(error).split())[:160]
        raise ModelRefused(
            f"{path}: damaged, or not written by torch.save ({text}): copy it again"
        ) from error


def _stand_in(name: str) -> type | None:
    if name in _INERT:
        return type(name.rpartition(".")[2], (_Inert,), {})
    if name.startswith(_SHELLS):
        return type(name.rpartition(".")[2], (_Shell,), {})
    return None


def _refusal(path: Path, strange: list[str], error: Exception) -> str:
    if any(name.startswith("models.") for name in strange):
        return f"{path}: a YOLOv5 checkpoint of its own repository: export it to ONNX with that repository"
    if not strange:
        return f"{path}: cannot be read as data ({' '.join(str(error).split())[:120]})"
    shown = ", ".join(strange[:_SHOWN]) + (
        f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    )
    return (
        f"{path}: loading it would reach for {shown}, which no model needs: refused; only if you trust where "
        "it comes from, `streamer model export --trust`"
    )


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _tensors(module: _Shell, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Parameters and buffers by the names that state_dict() gives them."""
    held = vars(module)
    without = held.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (held.get(kind) or {}).items():
            if isinstance(value, torch.Tensor) and not (
                isinstance(without, (set, frozenset)) and name in without
            ):
                yield prefix + name, value.float() if value.is_floating_point() else value
    for name, child in (held.get("_modules") or {}).items():
        if isinstance(child, _Shell):
            yield from _tensors(child, f"{prefix}{name}.")


def _checked_config(path: Path, config: object) -> dict[str, Any]:
    """The configuration, if it names layers and an activation and nothing else that could be evaluated."""
    if not isinstance(config, Mapping) or not all(
        isinstance(config.get(k), list) for k in ("backbone", "head")
    ):
        raise ModelRefused(f"{path}: does not say how its net is built: export it with its own program")
    rows = [*config["backbone"], *config["head"]]
    sound = all(isinstance(row, list) and len(row) == 4 for row in rows)
    if not sound or not all(isinstance(row[2], str) and _LAYER.fullmatch(row[2]) for row in rows):
        raise ModelRefused(
            f"{path}: its net has layers that are none of Ultralytics': export it to ONNX there"
        )
    activation = config.get("activation")
    if activation is not None and not (isinstance(activation, str) and _ACTIVATION.fullmatch(activation)):
        raise ModelRefused(f"{path}: its activation {str(activation)[:60]!r} is no layer of torch: refused")
    return dict(config)


def _class_names(path: Path, names: object, config: Mapping[str, Any]) -> tuple[str, ...]:
    if isinstance(names, Mapping):
        names = [names.get(i) for i in range(len(names))]
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ModelRefused(f"{path}: does not name its classes: export it with Ultralytics")
    if len(names) != config.get("nc", len(names)):
        raise ModelRefused(
            f"{path}: names {len(names)} classes, but its net has {config.get('nc')}: damaged?"
        )
    return tuple(names)


def _trained_size(*candidates: object) -> tuple[int, int] | None:
    """(width, height) from the training's `imgsz`: a number, or [height, width]."""
    for arguments in candidates:
        size = (arguments if isinstance(arguments, Mapping) else getattr(arguments, "__dict__", {})).get(
            "imgsz"
        )
        if isinstance(size, int) and size > 0:
            return size, size
        if isinstance(size, (list, tuple)) and len(size) == 2 and all(isinstance(n, int) for n in size):
            return size[1], size[0]
    return None
