"""Checks of the machine: interpreter, packages, processor, memory, clock. None needs a configuration."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import psutil

from streamer.ipc.choices import Decode
from streamer.setup.doctor.check import Check, fail, ok, warn

IMPORTS = {  # the wheels with native code, and what is printed beside their version
    "av": "()",
    "cv2": "()",
    "onnxruntime": "onnxruntime.get_available_providers()",
    "openvino": "openvino.Core().available_devices",
}
DISTRIBUTIONS = {"cv2": "opencv-python"}
OTHER_OPENCV = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
IMPORT_TIMEOUT_S = 60.0  # a cold start from a slow SD card
TOOL_TIMEOUT_S = 5.0
FAST_FLAGS = ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp")
LOW_MEMORY_BYTES = 1 << 30
LOW_DESCRIPTORS = 1024
SHM = Path("/dev/shm")


def check_python() -> list[Check]:
    return [ok("python", f"{platform.python_version()} at {sys.executable}")]


def check_packages() -> list[Check]:
    """Each wheel with native code is imported in a process of its own: a wrong one may end in SIGILL."""
    children = {
        name: subprocess.Popen(
            [sys.executable, "-c", f"import {name}\nprint(*({shown}))"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, shown in IMPORTS.items()
    }
    return [_imported(name, child) for name, child in children.items()] + _one_opencv()


_DECODERS = """
import sys
from streamer.sources.hardware import why_not
print(why_not(sys.argv[1]))
"""


def check_decoders() -> list[Check]:
    """Each device is opened in a process of its own: a broken driver may take its process with it."""
    return [_decoder(device) for device in get_args(Decode) if device not in ("none", "auto")]


def _decoder(device: str) -> Check:
    title = f"decode {device}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DECODERS, device],
            capture_output=True,
            text=True,
            timeout=IMPORT_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return warn(title, "its driver hangs", f"leave source.decode={device} out, and mend the driver")
    if done.returncode != 0:
        return warn(title, "its driver breaks off", f"leave source.decode={device} out, and mend the driver")
    reason = done.stdout.strip()
    return ok(title, f"not here: {reason}" if reason else "can decode (source.decode)")


def _imported(name: str, child: subprocess.Popen[str]) -> Check:
    title, distribution = f"package {name}", DISTRIBUTIONS.get(name, name)
    again = f"pip install --force-reinstall {distribution}"
    try:
        shown, errors = child.communicate(timeout=IMPORT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return fail(title, f"import takes longer than {IMPORT_TIMEOUT_S:g} s", again)
    if child.returncode < 0:
        text = f"import dies of signal {-child.returncode}"
        return fail(title, text, "this processor lacks instructions that the wheel was built for")
    if child.returncode != 0:
        reason = (errors.strip().splitlines() or ["no reason given"])[-1]
        advice = "deploy/setup.sh installs the system libraries" if ".so" in reason else again
        return fail(title, reason, advice)
    return ok(title, f"{_version(distribution) or 'version unknown'} {shown.strip()}".strip())


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _one_opencv() -> list[Check]:
    others = [name for name in OTHER_OPENCV if _version(name)]
    if not others:
        return []
    text = f"opencv-python and {', '.join(others)} are both installed: they overwrite each other's files"
    advice = f"pip uninstall {' '.join(others)}; pip install --force-reinstall opencv-python"
    return [warn("one OpenCV", text, advice)]


def check_processor() -> list[Check]:
    cores = len(os.sched_getaffinity(0))
    flags = _cpu_flags()
    known = [flag for flag in FAST_FLAGS if flag in flags]
    text = f"{cores} cores, {platform.machine()}, {' '.join(known) or 'no vector extensions known here'}"
    if platform.machine() == "x86_64" and "avx2" not in flags:
        return [
            warn("processor", text, "without AVX2 detection is several times slower: use the motion detector")
        ]
    return [ok("processor", text)]


def _cpu_flags() -> set[str]:
    """The words of the first `flags` (x86) or `Features` (ARM) line of /proc/cpuinfo."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def check_memory() -> list[Check]:
    memory = psutil.virtual_memory()
    text = f"{memory.available >> 20} MiB available of {memory.total >> 20}"
    if memory.available < LOW_MEMORY_BYTES:
        return [warn("memory", text, "a daemon with a detector and a few cameras takes about 1 GiB")]
    return [ok("memory", text)]


def check_descriptors() -> list[Check]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} file descriptors, {hard} at most"
    if soft < LOW_DESCRIPTORS:
        return [warn("limits", text, "raise it: `ulimit -n 65536`; the systemd unit does so itself")]
    return [ok("limits", text)]


def check_shared_memory() -> list[Check]:
    if not SHM.is_dir() or not os.access(SHM, os.W_OK | os.X_OK):
        return [
            fail(
                "shared memory", f"{SHM} is missing or not writable", "mount a tmpfs there: frames live in it"
            )
        ]
    room = os.statvfs(SHM)
    free = room.f_bavail * room.f_frsize
    text = f"{free >> 20} MiB free of {room.f_blocks * room.f_frsize >> 20} in {SHM}"
    if free < 64 << 20:
        advice = "a camera takes 3 to 10 MiB; in a container give more with --shm-size=256m"
        return [warn("shared memory", text, advice)]
    return [ok("shared memory", text)]


def check_clock() -> list[Check]:
    now = datetime.datetime.now(datetime.UTC)
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now.year < 2025:
        return [fail("clock", text, "set the clock: events and counts carry its time")]
    synchronised = _synchronised()
    if synchronised is None:
        text += ", and neither timedatectl nor chronyc says whether it is synchronised"
        return [warn("clock", text, "see that NTP or chrony keeps it right: counts are by its time")]
    if not synchronised:
        return [warn("clock", f"{text}, not synchronised", "turn NTP on: `timedatectl set-ntp true`")]
    return [ok("clock", f"{text}, synchronised")]


def _synchronised() -> bool | None:
    """What chrony or systemd say; None where neither answers."""
    leap = _tool_output("chronyc", "-c", "tracking")  # CSV; the last field is the leap status
    if leap:
        return leap.split(",")[-1] != "Not synchronised"
    said = _tool_output("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return said == "yes" if said else None


def _tool_output(*command: str) -> str:
    """The standard output of a tool; "" where it is missing, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


MACHINE_CHECKS: tuple[Callable[[], list[Check]], ...] = (
    check_python,
    check_packages,
    check_decoders,
    check_processor,
    check_memory,
    check_shared_memory,
    check_descriptors,
    check_clock,
)
