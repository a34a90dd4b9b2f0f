"""The benches can be found and run; their figures themselves are no tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import actions, hardware, registry, rounds
from tests.bench.__main__ import main


def test_every_bench_has_what_the_command_needs() -> None:
    for bench in registry.find().values():
        run, render = bench.load()
        assert callable(run)
        assert callable(render)
        assert bench.description


WALK = """
import importlib, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))  # None: importing it fails, as where it is absent
for name in sys.argv[2:]:
    importlib.import_module("tests.bench." + name)
"""


def test_every_bench_can_be_imported_where_no_extra_is_installed(repo: Path) -> None:
    absent = {package for packages in registry.extras().values() for package in packages}
    assert {"torch", "ultralytics", "onnx", "trackeval"} <= absent
    modules = [bench.module.removeprefix("tests.bench.") for bench in registry.find().values()]
    modules += [f"action_{part}" for part in actions.BARE]
    command = [sys.executable, "-c", WALK, ",".join(absent), *modules]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


NEEDS = """
NAME = "needs"
DESCRIPTION = "x"
def run(package):
    __import__(package)
def render(result):
    return ""
"""


def test_a_bench_whose_extra_is_absent_names_the_extra_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "needs.py").write_text(NEEDS)
    monkeypatch.syspath_prepend(tmp_path)
    bench = registry.Bench("needs", "x", "needs")
    monkeypatch.setattr(registry, "find", lambda: {"needs": bench})
    for package, extra in (("torch", "torch"), ("onnx", "quantize"), ("trackeval", "evaluate")):
        monkeypatch.setitem(sys.modules, package, None)
        assert main(["needs", "-o", f"package={package}"]) == 3
        said = capsys.readouterr().err
        assert said == (
            f"error: needs cannot run here: {package} is not installed: make install EXTRAS={extra}\n"
        )
    with pytest.raises(ModuleNotFoundError, match="no_such"):  # a fault of the code stays one
        main(["needs", "-o", "package=no_such"])


def test_the_listing_is_printed_as_text_and_as_json(repo: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--list"]
    text = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True).stdout
    listed = json.loads(
        subprocess.run([*command, "--json"], cwd=repo, capture_output=True, check=True).stdout
    )
    assert [item["name"] for item in listed] == [line.split()[0] for line in text.splitlines()]


def test_an_unknown_bench_is_refused_with_the_known_ones(repo: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "no-such"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "known:" in done.stderr


def test_two_benches_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("a.py", "b.py"):
        (tmp_path / file).write_text('NAME = "same"\nDESCRIPTION = "x"\n')
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="same"):
        registry.find()


def test_rounds_alternate_who_is_first() -> None:
    order: list[str] = []

    def player(name: str, result: int) -> int:
        order.append(name)
        return result

    pairs = rounds.in_turn(lambda: player("a", 1), lambda: player("b", 2), 3)
    assert pairs == [(1, 2)] * 3
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert rounds.median_ratio(pairs) == 0.5


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2), (75, 3), (99, 4), (100, 4)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: int) -> None:
    assert rounds.percentile([4, 2, 3, 1], percent) == value


BURN = """
import subprocess, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
if sys.argv[1] == "child":
    burn(0.5)
else:
    subprocess.run([sys.executable, __file__, "child"], check=True)  # burns, dies and is reaped
    burn(0.3)
    print("done", flush=True)
    sys.stdin.read()
"""


def test_the_cpu_time_of_a_dead_child_is_counted(tmp_path: Path) -> None:
    script = tmp_path / "burn.py"
    script.write_text(BURN)
    command = [sys.executable, str(script), "parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "done\n"
        used_s = rounds.cpu_seconds([process.pid])
        resident = rounds.pss_bytes([process.pid])
        process.stdin.close()
    assert 0.75 < used_s < 3.0
    assert resident > 1 << 20


def test_a_process_that_is_gone_has_used_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert rounds.cpu_seconds([process.pid]) == 0
    assert rounds.process_tree(process.pid) == []


def test_the_hardware_is_named_and_plain_json() -> None:
    found = hardware.describe()
    assert json.loads(json.dumps(found)) == found
    assert found["cpu"]
    assert found["cores_usable"] >= 1
    assert found["packages"]["openvino"]
