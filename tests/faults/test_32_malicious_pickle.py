"""Fault 32: a pickle that runs code when it is loaded, given to every command and key that takes a model.

A torch file is a pickle, and so is whatever is called one; its payload here leaves a mark. With torch
installed the file is looked at, without it is refused for that: the mark must never be there.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from streamer.cli.main import cli
from tests.clips import make_clip
from tests.daemon import Daemon

pytestmark = pytest.mark.integration


class Payload:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._mark}",)


def bare(mark: Path) -> bytes:
    return pickle.dumps(Payload(mark), protocol=2)


def archive(mark: Path) -> bytes:
    """As torch.save writes it."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        file.writestr("archive/data.pkl", bare(mark))
        file.writestr("archive/version", "3\n")
        file.writestr("archive/byteorder", "little")
    return raw.getvalue()


def numpy_object(mark: Path) -> bytes:
    """An .npz whose array is a pickle."""
    raw = io.BytesIO()
    np.savez(raw, boxes=np.array([Payload(mark)], dtype=object))
    return raw.getvalue()


KINDS = {"bare": bare, "archive": archive, "numpy": numpy_object}
# Every command that takes weights, or a file that could hold some; M stands for the file, C for a clip.
COMMANDS: dict[str, list[str]] = {
    "demo": ["--model", "M", "--seconds", "1"],
    "capacity": ["--model", "M"],
    "camera add": ["gate", "C", "--model", "M", "--actions", "M"],
    "analyze": ["C", "--model", "M", "--actions", "M", "--scene", "M"],
    "evaluate": ["C", "--model", "M", "--truth", "M"],
    "model add": ["M"],
    "model bench": ["M", "C"],
    "model collect": ["C", "--model", "M", "--out", "D"],
    "model default": ["M"],
    "model export": ["M"],
    "model pull": ["M"],
    "model quantize": ["M", "C"],
    "model remove": ["M"],
    "model tune": ["C", "--model", "M"],
    "model verify": ["M"],
    "actions evaluate": ["M", "M"],
    "actions export": ["M"],
    "actions train": ["D", "--weights", "M"],
}
KEYS = ("model", "actions", "scene")  # of `camera set`, and of a camera's file


def loaders(command: click.Command, name: str, context: click.Context) -> Iterator[str]:
    """The commands with a parameter that names a model."""
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            inner = command.get_command(context, word)
            assert inner is not None
            yield from loaders(inner, f"{name} {word}".strip(), context)
        return
    words = {word for p in command.params for word in ((p.name or ""), *str(p.metavar or "").lower().split())}
    if words & {"model", "actions", "scene", "weights", "model.onnx"} or name.startswith(
        ("model ", "actions ")
    ):
        yield name


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=20)


def test_no_command_that_takes_a_model_is_left_out() -> None:
    without = {"model list"}  # takes no name
    assert set(loaders(cli, "", click.Context(cli))) - without == set(COMMANDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_payload_does_leave_its_mark_where_it_is_loaded(kind: str, tmp_path: Path) -> None:
    """Else the other tests could not fail."""
    path = tmp_path / "x.pt"
    path.write_bytes(KINDS[kind](tmp_path / "mark"))
    load = {
        "bare": "pickle.load(open(p, 'rb'))",
        "archive": "pickle.loads(zipfile.ZipFile(p).read('archive/data.pkl'))",
        "numpy": "numpy.load(p, allow_pickle=True)['boxes']",
    }[kind]
    code = f"import numpy, pickle, sys, zipfile; p = sys.argv[1]; {load}"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert (tmp_path / "mark").exists()


def words_of(name: str, path: Path, clip: Path) -> tuple[str, ...]:
    """The command with the file `path`, beside which lies a card."""
    path.with_suffix(".yaml").write_text("{}\n")
    places = {"M": str(path), "C": str(clip), "D": str(path.parent)}
    return (*name.split(), *(places.get(word, word) for word in COMMANDS[name]))


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr, done.stderr


@pytest.fixture(scope="module")
def given_to_all(
    tmp_path_factory: pytest.TempPathFactory, clip: Path
) -> dict[str, tuple[subprocess.CompletedProcess[str], bool]]:
    """Of each command what it said of a file of its own, and whether that left its mark."""
    base = tmp_path_factory.mktemp("commands")
    site = Daemon(base / "site", inference={"engine": "motion"}, sinks=[])
    folders = {name: base / name.replace(" ", "-") for name in COMMANDS}
    for folder in folders.values():
        folder.mkdir()
        (folder / "evil.pt").write_bytes(archive(folder / "mark"))
    words = [words_of(name, folder / "evil.pt", clip) for name, folder in folders.items()]
    answers = site.commands(*words, cwd=base)
    marks = [(folder / "mark").exists() for folder in folders.values()]
    return dict(zip(COMMANDS, zip(answers, marks, strict=True), strict=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_runs_it(
    name: str, given_to_all: dict[str, tuple[subprocess.CompletedProcess[str], bool]]
) -> None:
    done, marked = given_to_all[name]
    assert_refused(done)
    assert not marked


@pytest.mark.parametrize(("kind", "suffix"), [("bare", ".pt"), ("bare", ".onnx"), ("archive", ".onnx")])
def test_no_other_form_or_name_of_it_is_run_when_it_is_added(
    kind: str, suffix: str, tmp_path: Path, short_dir: Path, clip: Path
) -> None:
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(KINDS[kind](tmp_path / "mark"))
    assert_refused(Daemon(short_dir, sinks=[]).cli(*words_of("model add", path, clip), check=False))
    assert not (tmp_path / "mark").exists()


def test_no_file_of_detections_runs_it(tmp_path: Path, short_dir: Path, clip: Path) -> None:
    site, mark = Daemon(short_dir, sinks=[]), tmp_path / "mark"
    path = tmp_path / "evil.npz"
    path.write_bytes(numpy_object(mark))
    for done in site.commands(
        ("evaluate", str(clip), "--detections", str(path), "--truth", str(path)),
        ("audit", "--clip", str(clip), "--detections", str(path)),
        cwd=tmp_path,
    ):
        assert done.returncode != 0, done
    assert not mark.exists()


def test_a_running_daemon_and_one_that_starts_with_it_do_not_run_it(
    tmp_path: Path, short_dir: Path, clip: Path
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    path.write_bytes(archive(mark))
    path.with_suffix(".yaml").write_text("{}\n")
    daemon = Daemon(short_dir, sinks=[])
    loop = {"loop": True}
    daemon.write_camera({"name": "sound", "url": str(clip), "source": loop, "model": "motion"})
    daemon.write_camera({"name": "evil", "url": str(clip), "source": loop, "model": str(path)})
    scene = {"model": str(path)}
    daemon.write_camera(
        {"name": "scene", "url": str(clip), "source": loop, "model": "motion", "scene": scene}
    )
    try:
        daemon.start()
        daemon.wait_for(lambda s: counted(s, "sound") > 10, 30, "the sound camera to count")
        for done in daemon.commands(*(("camera", "set", "sound", f"{key}={path}") for key in KEYS)):
            assert done.returncode != 0, done
        now = counted(daemon.status(), "sound")
        daemon.wait_for(lambda s: counted(s, "sound") > now + 10, 30, "it to go on")
        assert not mark.exists()
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def counted(status: dict[str, Any], name: str) -> int:
    return int(next(c for c in status["cameras"] if c["name"] == name)["frames"]["inferred"])
