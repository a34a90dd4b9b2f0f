"""`streamer model export`: a `.pt` of Ultralytics becomes ONNX, and a model of the store."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import click

from streamer.cli.model.add import install, refuse_taken, report
from streamer.cli.model.group import model, model_store
from streamer.cli.output_paths import check_outputs
from streamer.config.store import ConfigStore
from streamer.errors import ModelError
from streamer.models.export import export_to_onnx
from streamer.models.store import name_from


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--size", metavar="N|WxH", help="Input in pixels; without it as it was trained, else 640.")
@click.option("--name", help="Its name in the store; without it one is made of the file's name.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write the ONNX file here, and install nothing."
)
@click.option("--trust", is_flag=True, help="Load FILE even where that runs code in it. Only if you made it.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.pass_obj
def export(
    store: ConfigStore,
    file: Path,
    size: str | None,
    name: str | None,
    output: Path | None,
    trust: bool,
    as_default: bool,
) -> None:
    """Convert FILE (best.pt of Ultralytics YOLO) to ONNX in a process of its own, and install it.

    The file is read as data: nothing in it is run. Needs the extra torch (AGPL-3.0 for Ultralytics).
    """
    if file.suffix.lower() == ".onnx":
        raise ModelError(f"{file}: is ONNX already: `streamer model add {file}`")
    wanted = pixels_of(size)
    check_outputs((output,), (file,))
    if output is not None:
        done = export_to_onnx(file, output, size=wanted, trust=trust)
        click.echo(f"wrote {done.path}: input {done.size[0]}x{done.size[1]}, {len(done.classes)} classes")
        return
    models = model_store(store)
    name = name or name_from(file)
    refuse_taken(models, name)
    with tempfile.TemporaryDirectory(prefix="streamer-export-") as folder:
        done = export_to_onnx(file, Path(folder) / "model.onnx", size=wanted, trust=trust)
        report(install(models, done.path, name, None, None, as_default))


def pixels_of(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{2,4})(?:x(\d{2,4}))?", text)
    if found is None:
        raise ModelError(f"size {text!r}: a number of pixels such as 640, or 640x384")
    wide, high = int(found[1]), int(found[2] or found[1])
    if wide % 32 or high % 32:
        raise ModelError(f"size {text!r}: width and height must be multiples of 32")
    return wide, high
