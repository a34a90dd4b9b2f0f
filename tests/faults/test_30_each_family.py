"""Cases 30 to 32 for every family of models: what is truncated, answers something else, names another number
of classes or is full of NaN is refused in one line that says why, and what served before goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.detect.heads import HEADS
from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import camera
from tests.pipelines.detect.family_models import FAMILIES, Fault, family_model

pytestmark = pytest.mark.integration
NAMES = [head.name for head in HEADS]
FAULTS = {
    "truncated": ("not an ONNX model, or damaged",),
    "outputs": ("unknown head",),
    "classes": ("classes, but its metadata names 3", "a class 7, where", "a class 6, where", "several heads"),
    "nan": ("its weights are damaged",),
}
MADE: tuple[Fault, ...] = ("", "sick", "outputs", "classes", "nan")


@dataclass(frozen=True)
class Site:
    """A daemon whose camera `serving` runs on a sound model, and what it was asked: `added` by family and
    fault, `swapped` likewise, where its camera was to take the faulty file."""

    daemon: Daemon
    added: dict[tuple[str, str], subprocess.CompletedProcess[str]]
    swapped: dict[tuple[str, str], subprocess.CompletedProcess[str]]


def files_of(folder: Path) -> dict[tuple[str, str], Path]:
    """A file of each family with each fault, and one without."""
    files = {}
    for name in NAMES:
        for fault in MADE:
            path = folder / f"{name}-{fault or 'sound'}.onnx"
            files[name, str(fault)] = family_model(path, name, fault)
        whole = files[name, ""].read_bytes()
        files[name, "truncated"] = folder / f"{name}-truncated.onnx"
        files[name, "truncated"].write_bytes(whole[: len(whole) * 2 // 3])
    return files


@pytest.fixture(scope="module")
def site(moving_clip: Path) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp", ignore_cleanup_errors=True) as base:
        folder = Path(base) / "models"
        folder.mkdir()
        files = files_of(folder)
        daemon = Daemon(Path(base), inference={"engine": "onnx"}, sinks=[])
        added = dict(
            zip(
                files, daemon.commands(*(("model", "add", str(path)) for path in files.values())), strict=True
            )
        )
        daemon.write_camera({**camera("serving", moving_clip, loop=True, fps=5), "model": "yolov8-sound"})
        daemon.start()
        try:
            daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 0, 40, "frames")
            faulty = {key: path for key, path in files.items() if key[1] in FAULTS}
            asked = [("camera", "set", "serving", f"model={path}") for path in faulty.values()]
            yield Site(daemon, added, dict(zip(faulty, daemon.commands(*asked), strict=True)))
        finally:
            daemon.kill()


def test_every_family_has_a_model_here() -> None:
    assert set(NAMES) == set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_model_is_taken_for_its_own_family(name: str, site: Site) -> None:
    """Else the faults would be refused for something else."""
    done = site.added[name, ""]
    assert done.returncode == 0, done.stderr
    assert f"head {name}," in done.stdout


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_faulty_model_is_refused_in_one_line_that_says_why(name: str, fault: str, site: Site) -> None:
    for done in (site.added[name, fault], site.swapped[name, fault]):
        assert done.returncode == 5, done.stdout
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("error: ")
        assert f"{name}-{fault}.onnx: " in done.stderr
        assert any(why in done.stderr for why in FAULTS[fault]), done.stderr


def test_what_served_goes_on_after_every_refusal(site: Site) -> None:
    row = site.daemon.camera("serving")
    assert "yolov8-sound" in row["detector"]["model"]
    inferred = row["frames"]["inferred"]
    site.daemon.wait_for(lambda _: site.daemon.camera("serving")["frames"]["inferred"] > inferred, 20, "more")
    assert site.daemon.openings("serving") == 1
    assert site.daemon.worker("infer-0")["restarts"] == 0


def test_nan_in_what_a_running_model_answers_costs_its_frames_alone(site: Site, moving_clip: Path) -> None:
    """It answers a grey picture well, and is so taken; NaN comes from each real one."""
    for name in NAMES:
        assert site.added[name, "sick"].returncode == 0, site.added[name, "sick"].stderr
        site.daemon.write_camera({**camera(name, moving_clip, loop=True, fps=2), "model": f"{name}-sick"})
    assert site.daemon.process is not None
    os.kill(site.daemon.process.pid, signal.SIGHUP)

    def refused(status: dict[str, Any]) -> bool:
        rows = {row["name"]: row for row in status["cameras"]}
        return all(
            rows[name]["frames"]["dropped"].get("refused", 0) > 2
            and "frame not used" in rows[name]["warning"]
            for name in NAMES
        )

    status = site.daemon.wait_for(refused, 60, "refusals")
    for row in status["cameras"]:
        assert row["name"] == "serving" or row["frames"]["inferred"] == 0
        assert unaccounted(row["frames"]) == 0
    assert site.daemon.camera("serving")["frames"]["dropped"].get("refused", 0) == 0
    assert site.daemon.worker("infer-0")["restarts"] == 0
