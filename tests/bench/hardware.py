"""What a figure was measured on: a number without it means nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("av", "msgspec", "numpy", "onnxruntime", "opencv-python", "openvino", "pyzmq", "redis", "torch")
FLAGS = ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp")
REPO = Path(__file__).resolve().parent.parent.parent


def describe() -> dict[str, Any]:
    """Processor, memory, kernel, versions, commit, and how busy the machine was when this was asked."""
    words = _cpuinfo()
    flags = set(words.get("flags", words.get("Features", "")).split())
    return {
        "cpu": words.get("model name", platform.machine()),
        "cpu_features": [flag for flag in FLAGS if flag in flags],
        "cores_usable": len(os.sched_getaffinity(0)),
        "cores": os.cpu_count(),
        "virtual_machine": "hypervisor" in flags,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "gpu": _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "redis_server": _redis_version(),
        "commit": _output("git", "-C", str(REPO), "rev-parse", "HEAD"),
        "uncommitted_changes": bool(_output("git", "-C", str(REPO), "status", "--porcelain", "-uno")),
    }


def _cpuinfo() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo."""
    block = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _redis_version() -> str:
    words = dict(word.split("=", 1) for word in _output("redis-server", "--version").split() if "=" in word)
    return words.get("v", "")


def _output(*command: str) -> str:
    """A tool's standard output; "" where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip() if done.returncode == 0 else ""
