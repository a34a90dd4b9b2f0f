"""`streamer model quantize`: int8, calibrated and measured on the user's own clips."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from streamer.cli.click_types import Finite, stream_option
from streamer.cli.model.add import install, refuse_taken, report
from streamer.cli.model.clips import opener, steps
from streamer.cli.model.group import model, model_store
from streamer.config.store import ConfigStore
from streamer.errors import GateNotMet, ModelError
from streamer.models.agreement import Agreement
from streamer.models.model_handle import write_card
from streamer.models.quantize import Quantized, quantize
from streamer.models.sample_frames import SampleFrame, folder_samples, samples
from streamer.sources.base import Source


@model.command("quantize")
@click.argument("name")
@click.argument("clips", nargs=-1, metavar="CLIP|CAMERA…")
@click.option(
    "--images",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of still pictures, such as `model collect` makes; may be repeated.",
)
@click.option("--camera", "cameras", multiple=True, help="A camera by its name; may be repeated.")
@click.option("--as", "stored_as", help="Its name in the store; without it NAME-int8.")
@click.option(
    "--limit", default=5.0, show_default=True, type=Finite(0, 100), help="Percent of AP50 that may be lost."
)
@click.option(
    "--pictures", default=120, show_default=True, type=click.IntRange(16), help="Of all clips together."
)
@click.option("--threads", default=0, type=click.IntRange(0), help="0: all cores.")
@stream_option
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as a JSON object.")
@click.pass_obj
def quantize_command(
    store: ConfigStore,
    name: str,
    clips: tuple[str, ...],
    folders: tuple[Path, ...],
    cameras: tuple[str, ...],
    stored_as: str | None,
    limit: float,
    pictures: int,
    threads: int,
    stream: int | None,
    as_default: bool,
    as_json: bool,
) -> None:
    """Make an int8 model of NAME with pictures of your own clips or cameras, and measure what it loses.

    The first 60 % of each clip or folder calibrate, the rest measures. What NAME itself sees in float32 is
    the truth. A model that loses more than --limit is not installed; the card of one that is has the
    figures. Needs the package onnx.
    """
    clips = (*clips, *_known(store, cameras))
    if not clips and not folders:
        raise click.UsageError("no pictures given: name clips or cameras, or give --images FOLDER")
    models = model_store(store)
    chosen = models.resolve(name)
    if chosen is None:
        raise ModelError("motion has no weights to quantise: name a model of `streamer model list`")
    if chosen.path.suffix != ".onnx":
        raise ModelError(f"{name}: only ONNX models can be quantised: `streamer model export` first")
    stored_as = stored_as or f"{chosen.name or 'model'}-int8"
    refuse_taken(models, stored_as)
    with tempfile.TemporaryDirectory(prefix="streamer-int8-") as folder:
        with steps() as step:
            counted = step("pictures", pictures)
            found = []
            for sample in _pictures(clips, folders, pictures, opener(store, stream)):
                found.append(sample)
                counted(1)
            done = quantize(chosen, found, Path(folder) / "model.onnx", threads=threads, step=step)
        if as_json:
            click.echo(json.dumps(_figures(done), indent=2))
        else:
            _print(done)
        lost = 100 * done.int8.loss
        if lost > limit:
            raise GateNotMet(
                f"{lost:.1f} % of AP50 are lost, where --limit allows {limit:g} %: not installed; more clips "
                "to calibrate with may help, or keep the float model"
            )
        sidecar = Path(folder) / "card.yaml"
        write_card(sidecar, done.card)
        added = install(models, done.path, stored_as, None, sidecar, as_default, False)
        if not as_json:
            report(added)


def _known(store: ConfigStore, cameras: tuple[str, ...]) -> tuple[str, ...]:
    """The names, each of a camera there is. Raises ConfigError."""
    for name in cameras:
        store.load().known_camera(name)
    return cameras


def _pictures(
    clips: tuple[str, ...], folders: tuple[Path, ...], count: int, open_clip: Callable[[str], Source]
) -> Iterator[SampleFrame]:
    """About `count` in all, as many of each clip, camera and folder."""
    share = max(1, count // (len(clips) + len(folders)))
    if clips:
        yield from samples(clips, share * len(clips), open_clip=open_clip)
    for folder in folders:
        yield from folder_samples(folder, share)


def _figures(done: Quantized) -> dict[str, object]:
    figures = asdict(done)
    del figures["path"], figures["card"]
    return figures


def _print(done: Quantized) -> None:
    click.echo(
        f"measured on {done.int8.pictures} other pictures of the same places, {done.int8.boxes} objects:"
    )
    click.echo(f"  int8, {done.ranges} ranges: {_line(done.int8)}")
    click.echo(f"  float model as it runs here ({done.usual_precision}): {_line(done.usual)}")
    click.echo(
        f"  {done.float_ms:.1f} ms a frame as {done.usual_precision}, {done.int8_ms:.1f} ms as int8", nl=False
    )
    click.echo(f"; {done.float_bytes / 1e6:.1f} MB, {done.int8_bytes / 1e6:.1f} MB")
    if done.int8_ms > 0.95 * done.float_ms:
        click.echo(
            "note: int8 is not faster than the float model on this chip: there is no reason to use it here"
        )


def _line(found: Agreement) -> str:
    return (
        f"AP50 {found.ap50:.3f} (95 % {found.ap50_low:.3f} to {found.ap50_high:.3f}), lost "
        f"{100 * found.loss:.1f} %; of its boxes {100 * found.precision:.1f} % are right, "
        f"{100 * found.recall:.1f} % of the objects found ({found.found} of {found.boxes}, "
        f"{found.given} given)"
    )
