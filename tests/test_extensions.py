"""Each kind of extension is one new file and one new line, tried in a copy of the packages.

An extension here is a file, the line of a table, and a program that uses it; nothing else is touched. Another
kind of extension is another entry of EXTENSIONS.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.patience import patient

COMMAND = "from streamer.cli.main import main; main({})"


@dataclass(frozen=True)
class Extension:
    """`line` goes before the one line of `table` that begins with `before`, at its indentation. What is a
    line alone has no `file`.

    `program` is Python that is run in the copy, in a folder of its own where `prepare` has put what it needs;
    `says` stands in what it prints.
    """

    file: str
    code: str
    table: str
    before: str
    line: str
    program: str
    says: str
    prepare: Callable[[Path], object] = lambda _folder: None

    def install(self, root: Path) -> None:
        new, table = root / self.file, root / self.table
        if self.file:
            assert not new.exists()
            new.write_text(self.code)
        lines = table.read_text().splitlines()
        (place,) = (i for i, line in enumerate(lines) if line.lstrip().startswith(self.before))
        indent = lines[place][: -len(lines[place].lstrip())]
        table.write_text("\n".join([*lines[:place], indent + self.line, *lines[place:]]) + "\n")


# ---- a source: grey pictures

SOURCE = """
import time
from streamer.errors import SourceEnded
from streamer.sources.base import Decoded, SourceInfo

class ToyDecoded(Decoded):
    def write_bgr(self, out):
        out[:] = 100

class ToySource:
    def __init__(self, url, options):
        self.left = int(url.partition(":")[2])

    def open(self):
        self.frame = 0
        return SourceInfo(64, 48, 10.0, "toy", "pts", frames=self.left)

    def read(self):
        if self.frame == self.left:
            raise SourceEnded("no more toys")
        self.frame += 1
        times = {"media_ns": self.frame * 10**8, "captured_ns": time.time_ns()}
        return ToyDecoded(64, 48, **times, received_mono_ns=time.monotonic_ns())

    def close(self):
        pass
"""

# ---- a head: rows of x1, y1, x2, y2, score, class and two columns more

HEAD = """
import numpy as np
from pipelines.detect.heads.base import Candidates, Head
from pipelines.detect.letterbox import Pixels

class Toy(Head):
    name = "toy"
    pixels = Pixels(rgb=True)

    def __init__(self, classes):
        self.classes = classes

    @classmethod
    def match(cls, model):
        return cls(model.classes or 80) if [shape[-1] for shape in model.outputs] == [8] else None

    def decode(self, outputs, min_score):
        rows = outputs[0][outputs[0][:, 4] >= min_score]
        return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int32))
"""

DETECT = """
from pathlib import Path
import numpy as np
from pipelines.registry import create_detector
from pipelines.values import Frame, Stamp
for engine in ("openvino", "onnx"):
    detector = create_detector(engine, Path("toy.onnx"), threads=1)
    frame = Frame(Stamp("cam", 1, 1, 0, 0, 0), np.full((64, 64, 3), 255, np.uint8))
    (found,) = detector.collect(detector.submit([frame]))
    print(detector.describe()["head"], [detector.labels.names[i] for i in found.class_ids])
"""


def toy_model(folder: Path) -> None:
    import numpy as np

    from tests.pipelines.detect import tiny_models

    rows = np.array([[8, 8, 24, 40, 0.9, 1, 0, 0], [40, 8, 56, 40, 0.1, 0, 0, 0]], np.float32)
    names = {"names": "{0: 'crate', 1: 'ball'}"}
    lit = slice(4, 5)  # the scores: nothing is in a black picture
    tiny_models.table(folder / "toy.onnx", rows, metadata=names, lit_columns=lit, divisor=255.0)


# ---- an analytic: how many frames there were, at the end

ANALYTIC = '''
from pipelines.analytics.base import Analytic, AnalyticEvent, AnalyticSpec, EventType, RunningRule

SEEN = EventType(
    "streamer.toy.seen.v1", "Toys", "How many frames a toy has seen.",
    {name: {"type": kind, "description": name} for name, kind in (("toy", "string"), ("frames", "integer"))},
)

class ToySpec(AnalyticSpec):
    """Counts frames."""

class Toy(RunningRule):
    def __init__(self, spec):
        self.spec, self.frames = spec, 0

    def on_frame(self, snapshot):
        self.frames += 1
        return []

    def close(self, time_s):
        return [AnalyticEvent(SEEN.name, {"toy": self.spec.name, "frames": self.frames})]

    def save(self):
        return self.frames

    def restore(self, saved):
        self.frames = saved

ANALYTIC = Analytic(
    "toy", "toys", ToySpec, lambda spec, context: Toy(spec), events=(SEEN,),
    summary=lambda kind, data: f"{data['frames']} frames",
)
'''

ANALYZE = """
import json
from pathlib import Path
from streamer.cli.event_summary import one_line
from streamer.cli.main import cli
from streamer.events import schemas
Path("rules.yaml").write_text("toys: [{name: bear}]")
scene = "synthetic:street?seconds=1&fps=10&width=160&height=90"
asked = ["--engine", "motion", "--rules", "rules.yaml", "--events", "events.jsonl"]
cli(["analyze", scene, *asked], standalone_mode=False)
for event in map(json.loads, Path("events.jsonl").read_text().splitlines()):
    kind, data = event["type"], event["data"]
    if kind == "streamer.toy.seen.v1":
        print(schemas.get(kind)["title"], data["toy"], one_line(kind, data))
"""

# ---- an operation: asked as the control socket asks

OPERATION = """
from streamer.api.arguments import Arguments
from streamer.daemon.operations import Operation

class ToyArguments(Arguments):
    times: int

def _toy(_daemon, arguments, answer):
    answer.reply({"toys": arguments.times})

OPERATION = Operation(ToyArguments, _toy)
"""

ASK = """
from streamer.api.callers import Caller
from streamer.config.schema import ControlConfig
from streamer.daemon.operations import OPERATIONS, serve

class Asked:
    caller = Caller(uid=0)

    def __init__(self, **args):
        self.op, self.args = "toy", args

    def reply(self, result):
        print(result)

    def fail(self, error):
        print(error)

class Site:
    control = ControlConfig()

serve(OPERATIONS, Site(), Asked(times=3))
serve(OPERATIONS, Site(), Asked(times="3"))
"""

# ---- a key of a camera

SET = """
import os
from streamer.cli.main import cli
os.mkdir("config")
open("config/streamer.yaml", "w").write(f"state_dir: {os.getcwd()}/state\\nruntime_dir: {os.getcwd()}/run\\n")
cli(["camera", "add", "gate", "synthetic:street", "--no-probe"], standalone_mode=False)
cli(["camera", "set", "gate", "toys=7"], standalone_mode=False)
cli(["camera", "show", "gate"], standalone_mode=False)
"""

EXTENSIONS = {
    "camera key": Extension(
        file="",
        code="",
        table="streamer/config/schema.py",
        before="analysis_width: int",
        line="toys: int = Field(default=0, ge=0)",
        program=SET,
        says="toys: 7",
    ),
    "operation": Extension(
        file="streamer/daemon/toy.py",
        code=OPERATION,
        table="streamer/daemon/operations.py",
        before='"ping": Operation(',
        line='"toy": "streamer.daemon.toy:OPERATION",',
        program=ASK,
        says="{'toys': 3}\ntimes: ",
    ),
    "source": Extension(
        file="streamer/sources/toy.py",
        code=SOURCE,
        table="streamer/sources/__init__.py",
        before='"file": Scheme(',
        line='"toy": Scheme("streamer.sources.toy:ToySource", "toy:FRAMES", generated=True),',
        program=COMMAND.format(["analyze", "toy:12", "--engine", "motion", "--json"]),
        says='"frames": 12',
    ),
    "head": Extension(
        file="pipelines/detect/heads/toy.py",
        code=HEAD,
        table="pipelines/detect/heads/__init__.py",
        before='"nanodet:',
        line='"toy:Toy",',
        program=DETECT,
        says="toy ['ball']\ntoy ['ball']",
        prepare=toy_model,
    ),
    "analytic": Extension(
        file="pipelines/analytics/toy.py",
        code=ANALYTIC,
        table="pipelines/analytics/__init__.py",
        before='"unique",',
        line='"toy",',
        program=ANALYZE,
        says="Toys bear 10 frames",
    ),
    "command": Extension(
        file="streamer/cli/toy.py",
        code='import click\n\n@click.command()\ndef toy():\n    """A toy."""\n    click.echo("it plays")\n',
        table="streamer/cli/main.py",
        before='"doctor": Entry(',
        line='"toy": Entry("streamer.cli.toy:toy", "Play."),',
        program=COMMAND.format(["toy"]),
        says="it plays",
    ),
}


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_an_extension_is_one_file_and_one_line(kind: str, tmp_path: Path) -> None:
    if kind == "head" and importlib.util.find_spec("onnx") is None:
        pytest.skip("needs onnx (the extra quantize)")
    extension = EXTENSIONS[kind]
    root, folder = tmp_path / "packages", tmp_path / "work"
    folder.mkdir()
    for package in ("streamer", "pipelines"):
        shutil.copytree(REPO / package, root / package)
    extension.install(root)
    extension.prepare(folder)
    environment = {**os.environ, "PYTHONPATH": str(root), "STREAMER_CONFIG": str(folder / "config")}
    check = f"import streamer, pipelines; assert streamer.__path__[0].startswith({str(root)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", check + extension.program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert extension.says in done.stdout
