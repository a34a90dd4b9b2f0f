"""Fault 26: empty, huge, corrupt or recursive YAML, wrong types and unknown keys are refused."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    return limited([*STREAMER, "--config", str(folder), "camera", "show", "gate"])


def limited(args: list[str], told: str = "") -> subprocess.CompletedProcess[str]:
    """A command that may take MEMORY_LIMIT and no more; `told` is its standard input."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))

    # threads of numeric libraries reserve address space, and none is wanted here
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    options = {"capture_output": True, "text": True, "timeout": patient(60), "env": env}
    return subprocess.run(args, input=told, preexec_fn=limit, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\nruntime_dir: {tmp_path}/run\n")
    (tmp_path / "cameras.d").mkdir()
    (tmp_path / "cameras.d" / "gate.yaml").write_text(GOOD)
    return tmp_path


def test_the_good_file_is_taken(folder: Path) -> None:
    result = check(folder)
    assert (result.returncode, result.stderr) == (0, "")


BAD = [
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
]


def test_a_bad_file_ends_the_command_with_file_and_reason(folder: Path) -> None:
    camera, daemon = folder / "cameras.d" / "gate.yaml", folder / "streamer.yaml"
    cases = [(str(camera), text) for text, _ in BAD] + [(str(daemon), text) for text, _ in BAD]
    answers = one_after_another(folder, cases)
    assert len(answers) == len(cases)
    for (path, _), answer in zip(cases, answers, strict=True):
        assert_refusal(path, answer)
    for (_, words), answer in zip(BAD, answers, strict=False):
        assert words in answer["stderr"]


# The command itself, again and again within one process and its limits: to start each takes a second.
COMMANDS = """
import contextlib, io, json, sys
from pathlib import Path
from streamer.cli.main import main
folder, cases = sys.argv[1], json.load(sys.stdin)
for path, text in cases:
    good = Path(path).read_bytes()
    Path(path).write_text(text)
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["--config", folder, "camera", "show", "gate"])
        except SystemExit as end:
            code = end.code
    Path(path).write_bytes(good)
    print(json.dumps({"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}), flush=True)
"""


def one_after_another(folder: Path, cases: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """What the command says of each (path, text); the file is mended after each."""
    done = limited([sys.executable, "-c", COMMANDS, str(folder)], json.dumps(cases))
    assert done.returncode == 0, f"{done.stdout[-300:]}{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_refusal(path: str, answer: dict[str, Any]) -> None:
    assert answer["code"] == Exit.CONFIG, answer
    assert answer["stdout"] == ""
    assert answer["stderr"].startswith(f"error: {path}")
    assert answer["stderr"].count("\n") == 1


def test_a_bad_file_ends_the_process_with_the_exit_code_of_configurations(folder: Path) -> None:
    path = folder / "cameras.d" / "gate.yaml"
    path.write_text(BOMB)
    done = check(folder)
    assert_refusal(str(path), {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr})


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
