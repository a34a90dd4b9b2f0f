"""Commands one after another within one process: to start Python for each costs more than most of them do.

Each has its own standard streams, as descriptors, so that nothing that it says can go elsewhere, and ends as
the process would. For what a process itself is asked (its limits, its signals, its lock), start one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.patience import patient

SERIES = """
import json, os, sys, tempfile, traceback
from streamer.cli.main import main
asked, answers = json.load(sys.stdin), os.fdopen(os.dup(1), "w")
for words, told in asked:
    files = [tempfile.TemporaryFile() for _ in range(3)]
    files[0].write(told.encode())
    files[0].seek(0)
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
    sys.stdin, code = open(0, closefd=False), None
    try:
        main(words)
    except SystemExit as end:
        code = end.code
    except BaseException:  # as Python says it
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    for file in files:
        file.seek(0)
    out, err = (file.read().decode(errors="replace") for file in files[1:])
    print(json.dumps([int(code or 0), out, err]), file=answers, flush=True)
"""


def run_series(
    commands: Sequence[Sequence[str]],
    *,
    before: Sequence[str] = (),
    told: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> list[subprocess.CompletedProcess[str]]:
    """What each printed and ended with; each begins with the words `before` and gets `told` to read."""
    asked = json.dumps([[[*before, *words], told] for words in commands])
    limit_s = patient(30.0 * len(commands))
    done = subprocess.run(
        [sys.executable, "-c", SERIES],
        input=asked,
        capture_output=True,
        text=True,
        timeout=limit_s,
        env=env,
        cwd=cwd,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(commands), f"it ended at {commands[len(answers)]}: {done.stderr}"
    return [
        subprocess.CompletedProcess([*words], *answer)
        for words, answer in zip(commands, answers, strict=True)
    ]
