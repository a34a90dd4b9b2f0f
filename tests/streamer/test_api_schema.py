"""schemathesis asks the API everything that /openapi.json allows, and what it does not, of a real daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api_rig import api_daemon
from tests.conftest import missing_part
from tests.moving import write_moving_clip
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SEED = "20261129"
EXAMPLES = "4"  # of each route and kind
# A name that is taken, a line without a length or a camera that nobody can reach fits the schema, and is
# refused; what a stream sends has no end.
UNCHECKED = "positive_data_acceptance"
ENDLESS = "/live$"
SLOW = ("post_cameras", "post_cameras_test")  # their example is a camera that is not there


def schemathesis() -> str:
    beside = Path(sys.executable).with_name("schemathesis")
    found = os.environ.get("STREAMER_SCHEMATHESIS") or (
        str(beside) if beside.exists() else shutil.which("schemathesis")
    )
    if not found:
        missing_part("schemathesis")
    return str(found)


def test_schemathesis_finds_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    program = schemathesis()
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)
    limits = ["--max-examples", EXAMPLES, "--seed", SEED, "--request-timeout", "60"]
    left_out = ["--exclude-checks", UNCHECKED, "--exclude-path-regex", ENDLESS]
    left_out += [word for each in SLOW for word in ("--exclude-operation-id", each)]
    phases = ["--phases", "examples,fuzzing", "--no-color"]
    with api_daemon(clip) as daemon:
        token = ["-H", f"Authorization: {daemon.serve().headers('admin')['Authorization']}"]
        done = subprocess.run(
            [program, "run", f"{daemon.url}/openapi.json", *token, *limits, *left_out, *phases],
            capture_output=True,
            text=True,
            cwd=tmp_path_factory.mktemp("schemathesis"),
            timeout=patient(300),
            env={**os.environ, "no_proxy": "*", "PYTHONWARNINGS": "ignore"},
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
