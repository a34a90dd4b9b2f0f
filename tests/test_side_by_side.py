"""The tests' own running: a process of them that crashes does not keep the others waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPO
from tests.patience import patient

QUICK = "def test_a() -> None: ...\n"
CRASHES = """
import os, pathlib, time
def test_crashes_once() -> None:
    before = pathlib.Path(__file__).with_name("before")
    if not before.exists():
        before.touch()
        time.sleep(2)  # the other process is done by then
        os._exit(1)
"""


def test_a_crash_at_the_last_test_ends_the_run(tmp_path: Path) -> None:
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        (tmp_path / name).write_text(QUICK)
    (tmp_path / "test_d.py").write_text(CRASHES)  # who has it is through with another by then
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {
        "PYTHONPATH": str(REPO)
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.side_by_side", "-n", "2", "--dist", "loadfile", "."],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert "crashed while running 'test_d.py::test_crashes_once'" in done.stdout
    assert "1 failed, 4 passed" in done.stdout
