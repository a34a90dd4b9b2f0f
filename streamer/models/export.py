"""Runs the conversion of a `.pt` to ONNX in a child process, and says in one line why it did not work.

The child has a folder of its own for whatever Ultralytics writes, no way to know a proxy or a password from
the environment, and an end: after `TIMEOUT_S` it is killed with all it started.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipelines.registry import INSTALL_TORCH
from streamer.errors import ModelError, StorageError

TIMEOUT_S = 900.0
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")
_SAID = 300  # characters of the child's last words


@dataclass(frozen=True, slots=True)
class Exported:
    """`size` (width, height) of the input."""

    path: Path
    size: tuple[int, int]
    classes: tuple[str, ...]
    licence: str


def has_torch() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "ultralytics"))


def export_to_onnx(
    source: Path,
    target: Path,
    *,
    size: int | tuple[int, int] | None = None,
    trust: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Exported:
    """Convert `source` for an input of `size` pixels (None: as it was trained); `target` is whole or absent.

    `trust` unpickles the file as it is, which runs its code. Raises ModelError or StorageError.
    """
    if not source.is_file():
        raise ModelError(f"{source}: no such file")
    if not has_torch():
        raise ModelError(f"{source.name}: a .pt needs torch and Ultralytics to be converted: {INSTALL_TORCH}")
    wide_high = (size, size) if isinstance(size, int) else size
    try:
        with tempfile.TemporaryDirectory(prefix="streamer-export-", dir=target.parent) as folder:
            made = Path(folder) / "model.onnx"
            wanted = f"{wide_high[0]}x{wide_high[1]}" if wide_high else "-"
            words = [str(source.resolve()), str(made), wanted, *(["--trust"] if trust else [])]
            answer = _run(source, words, Path(folder), timeout_s)
            made.replace(target)
    except OSError as error:
        raise StorageError(
            f"{target.parent}: {error.strerror or error}: check free space and permissions"
        ) from error
    return Exported(target, tuple(answer["size"]), tuple(answer["classes"]), answer["licence"])


def _run(source: Path, words: list[str], folder: Path, timeout_s: float) -> dict:  # type: ignore[type-arg]
    command = [sys.executable, "-m", "pipelines.detect.export", *words]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "YOLO_CONFIG_DIR": str(folder)}
    environment["PYTHONPATH"] = os.pathsep.join(
        p for p in (str(_root()), environment.get("PYTHONPATH", "")) if p
    )
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        try:
            said, complained = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ModelError(
                f"{source}: its conversion took more than {timeout_s:.0f} s and was ended"
            ) from error
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    return _answer(source, said, complained, child.returncode)


def _answer(source: Path, said: str, complained: str, code: int) -> dict:  # type: ignore[type-arg]
    try:
        answer = json.loads(said.strip().splitlines()[-1])
        if answer["ok"]:
            return dict(answer)
        raise ModelError(str(answer["problem"]))
    except (IndexError, ValueError, KeyError, TypeError) as error:
        how = f"was killed by signal {-code}: out of memory?" if code < 0 else f"ended with {code}"
        last = " ".join(complained.split())[-_SAID:]
        raise ModelError(f"{source}: its conversion {how}{': ' + last if last else ''}") from error


def _root() -> Path:
    """Where the packages lie, for a checkout that is not installed."""
    return Path(__file__).resolve().parents[2]
