"""The thread that loads models, from which an engine's own threads take their niceness over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, threading
from pathlib import Path
from pipelines.pipeline import Pipeline
from pipelines.spec import PipelineSpec
from streamer.workers import loading

found = []
def load(self, spec_json):
    found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    return real(self, spec_json)
real, loading.PipelineLoader._load = loading.PipelineLoader._load, load

os.nice(int(sys.argv[2]))
done = threading.Event()
loader = loading.PipelineLoader(Path(sys.argv[1]), "motion", 1, done.set)
spec = PipelineSpec(name="default", detector="motion").model_dump_json()
loader.want(spec)
assert done.wait(30)
print(type(loader.get(spec)) is Pipeline, found[0] - os.getpriority(os.PRIO_PROCESS, 0))
"""


@pytest.mark.parametrize("before", [0, 15])
def test_models_load_on_a_nicer_thread_also_in_a_process_that_is_nice_already(
    before: int, tmp_path: Path
) -> None:
    usual = min(os.getpriority(os.PRIO_PROCESS, 0) + before, 19)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(before)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["True", str(min(10, 19 - usual))], done.stderr
