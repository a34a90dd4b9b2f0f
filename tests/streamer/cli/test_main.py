"""The command itself: its table, its exit codes, and how errors end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streamer.cli.lazy_group import Entry
from streamer.cli.main import COMMANDS, cli
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from tests.streamer.cli.conftest import Run

STREAMER = [sys.executable, "-m", "streamer.cli.main"]


LARGE = ("numpy", "cv2", "av", "openvino", "onnxruntime", "redis", "zmq", "sqlite3")
CAMERA = """
name: gate
url: synthetic:street
rules:
  zones: [{name: yard, points: [[0, 0], [1, 0], [1, 1]]}]
  heatmaps: [{name: warm}]
  dwells: [{name: long, zone: yard, after_s: [5]}]
"""


@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("--version",),
        ("camera", "--help"),
        ("status",),
        ("camera", "list"),
        ("camera", "show", "gate"),
    ],
    ids=" ".join,
)
def test_what_only_asks_imports_no_large_library(args: tuple[str, ...], store: ConfigStore) -> None:
    """numpy alone doubled the time of `streamer status`; cameras may have rules of every kind."""
    store.cameras_dir.mkdir()
    store.camera_file("gate").write_text(CAMERA)
    script = (
        "import sys; from streamer.cli.main import main\n"
        f"try: main({['--config', str(store.folder), *args]})\n"
        f"finally: print([m for m in {LARGE} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.stdout.endswith("[]\n"), found.stderr
    assert found.returncode == (Exit.RUNNING if args == ("status",) else 0)


def test_help_names_every_command(run: Run) -> None:
    text = run("--help").stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize(
    ("older", "name"), [("why", "explain"), ("ledger new-lineage", "ledger new-incarnation")]
)
def test_a_renamed_command_has_its_older_name_too(run: Run, older: str, name: str) -> None:
    texts = [run(*words.split(), "--help").stdout for words in (older, name)]
    first, second = (text.partition("\n")[2] for text in texts)
    assert first == second
    assert "Usage: " in texts[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_has_a_help_of_its_own(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"streamer {name}" in result.output.replace("cli ", "streamer ")


def test_a_command_that_is_not_installed_says_so_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "ghost", Entry("streamer.cli.ghost:ghost", "Not there."))
    result = CliRunner().invoke(cli, ["ghost"], prog_name="streamer")
    assert result.exit_code == 1
    assert "`streamer ghost` is not installed here" in result.stderr


def test_a_mistyped_command_line_ends_in_code_2(run: Run) -> None:
    for args in (
        ["nope"],
        ["status", "--nope"],
        ["camera", "add"],
        ["camera", "set", "gate"],
        ["camera", "set", "gate", "fps"],
    ):
        result = run(*args)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1, "one line"
        assert "--help`" in result.stderr


def test_a_refusal_is_one_line_on_standard_error_with_its_code(tmp_path: Path) -> None:
    found = subprocess.run([*STREAMER, "--config", str(tmp_path), "status"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (3, "")
    assert found.stderr.startswith("error: no configuration at ")
    assert found.stderr.count("\n") == 1


def test_an_unexpected_error_is_one_line_too_and_a_traceback_only_on_request() -> None:
    script = (
        "import streamer.cli.main as m, click\n"
        "@m.cli.command('boom')\n"
        "def boom(): raise ZeroDivisionError('rtsp://admin:canary@host/')\n"
        "m.LazyGroup.get_command = lambda self, ctx, name: boom\n"
        "m.main(['boom'])"
    )
    args = [sys.executable, "-c", script]
    found = subprocess.run(args, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "canary" not in found.stderr
    debugged = subprocess.run(args, capture_output=True, text=True, env={**os.environ, "STREAMER_DEBUG": "1"})
    assert "Traceback" in debugged.stderr


def test_a_reader_that_has_enough_gets_no_complaint() -> None:
    script = "from streamer.cli.main import main; main(['--help'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 1


def test_ctrl_c_ends_in_130_without_a_word(short_dir: Path) -> None:
    (short_dir / "streamer.yaml").write_text(f"runtime_dir: {short_dir}\n")
    args = [*STREAMER, "--config", str(short_dir), "status", "--watch"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        while "no daemon answers" not in child.stdout.readline():
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        assert "Traceback" not in child.stderr.read()
    assert child.returncode == 130


def options_of(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Option]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from options_of(below, (*path, name))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield path, parameter


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
def test_no_option_takes_what_is_no_finite_number(text: str) -> None:
    """`model collect --every nan` was taken."""
    asked, taken = 0, []
    for path, option in options_of(cli, ()):
        if isinstance(option.type, click.types.FloatParamType):
            asked += 1
            try:
                taken.append((*path, option.name, option.type.convert(text, option, None)))
            except click.BadParameter:
                continue
    assert asked > 15
    assert not taken
