"""What each process loads: a library that it never uses costs it start-up time, after a crash as well, and
memory for as long as it lives."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMPUTING = ("cv2", "av", "openvino", "onnxruntime", "torch")


@pytest.mark.parametrize(
    ("modules", "needless"),
    [
        ("streamer.workers.deliver.worker", ("numpy", "pipelines.analytics", "streamer.config.schema")),
        ("streamer.workers.deliver.worker", COMPUTING),
        ("streamer.workers.capture.worker", ("openvino", "onnxruntime", "torch", "pydantic")),
        ("streamer.cli.run, streamer.daemon.supervisor", COMPUTING),
    ],
    ids=[
        "what delivers needs no numpy",
        "nor more",
        "what captures infers nothing",
        "the daemon computes nothing",
    ],
)
def test_a_process_loads_nothing_that_it_never_uses(modules: str, needless: tuple[str, ...]) -> None:
    code = f"import sys, {modules}\nprint([name for name in {needless} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
