"""Fault 26: empty, huge, corrupt or recursive YAML, wrong types and unknown keys are refused."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, Exit
from tests.patience import patient

STREAMER = [sys.executable, "-m", "streamer.cli.main"]
MEMORY_LIMIT = 1 << 30  # bytes of address space: a document that is expanded does not fit
GOOD = """\
name: gate
url: rtsp://10.0.0.5/live
source: {fps: 12.5, loop: false}
rules:
  classes: [object]
  limits:
    object: {min_score: 0.4}
  lines:
  - name: door
    points: [[0.1, 0.5], [0.9, 0.5]]
    left_to_right: in
    right_to_left: out
"""
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 64))
RECURSIVE = "name: &self [*self]\nurl: synthetic:street\n"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))

    args = [*STREAMER, "--config", str(folder), "camera", "show", "gate"]
    # threads of numeric libraries reserve address space, and none is wanted here
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        args, capture_output=True, text=True, preexec_fn=limit, timeout=patient(60), env=env
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\nruntime_dir: {tmp_path}/run\n")
    (tmp_path / "cameras.d").mkdir()
    (tmp_path / "cameras.d" / "gate.yaml").write_text(GOOD)
    return tmp_path


def test_the_good_file_is_taken(folder: Path) -> None:
    result = check(folder)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# huge\n" + "x: 1\n" * 300_000, "larger than 1 MiB"),
        (GOOD.replace("[[0.1", "[[[0.1"), "is not YAML"),
        ("\x00\x01\x02", "control characters"),
        (RECURSIVE, "anchors and aliases"),
        (BOMB, "anchors and aliases"),
        ("a: " + "[" * 200_000, "nested more than"),
        (GOOD.replace("12.5", "[1]"), "source.fps: should be a number"),
        (GOOD.replace("door", "5"), "rules.lines[0].name"),
        (GOOD.replace("points", "point"), "did you mean 'points'?"),
        (GOOD + "name: gate\n", "given twice"),
        ("? {a: b}\n: c\n", "a key must be a word"),
    ],
)
def test_a_bad_file_ends_the_command_with_file_and_reason(folder: Path, text: str, words: str) -> None:
    path = folder / "cameras.d" / "gate.yaml"
    path.write_text(text)
    assert words in refusal_of(path, folder)
    path.write_text(GOOD)
    (folder / "streamer.yaml").write_text(text)
    refusal_of(folder / "streamer.yaml", folder)


def refusal_of(path: Path, folder: Path) -> str:
    result = check(folder)
    assert result.returncode == Exit.CONFIG
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {path}")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_whatever_is_damaged_in_a_file_it_loads_or_is_refused_with_its_place(folder: Path) -> None:
    """A thousand files with bytes flipped, lost or doubled: an answer for each, never another error."""
    path = folder / "cameras.d" / "gate.yaml"
    dice = random.Random(26)
    refusals = []
    for _ in range(1000):
        raw = bytearray(GOOD.encode())
        for _ in range(dice.randint(1, 4)):
            at, length = dice.randrange(len(raw)), dice.randint(1, 6)
            damage = dice.choice(("flip", "lose", "double", "noise"))
            if damage == "flip":
                raw[at] ^= 1 << dice.randrange(8)
            elif damage == "lose":
                del raw[at : at + length]
            elif damage == "double":
                raw[at:at] = raw[at : at + length]
            else:
                raw[at:at] = dice.choice(
                    (b"[", b"{", b"&a ", b"*a", b"!!", b": ", b"\t", b"- ", b"\n", b"\xff")
                )
        path.write_bytes(bytes(raw))
        try:
            ConfigStore(folder).load()
        except ConfigError as error:
            refusals.append(str(error))
    assert len(refusals) > 500
    assert all(text.startswith(f"{path}:") and "\n" not in text for text in refusals)
