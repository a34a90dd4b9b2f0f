"""`streamer model bench`: what a model costs a frame on this box, and how many cameras that carries."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from streamer.cli.click_types import Finite, stream_option
from streamer.cli.model.clips import opener, steps
from streamer.cli.model.export import pixels_of
from streamer.cli.model.group import model, model_store
from streamer.config.store import ConfigStore
from streamer.errors import ModelError
from streamer.models.benchmark import DECODE_CORES, SPARE, Timing, bench, variants
from streamer.models.labelled_images import CLIPS
from streamer.models.model_handle import RESERVED
from streamer.models.sample_frames import SCENE, samples
from streamer.models.store import ModelStore
from streamer.sources.urls import is_generated

WORTH_A_NOTE = 0.9  # below that share of the processor time


@model.command("bench")
@click.argument("name", required=False)
@click.argument("clips", nargs=-1, metavar="[CLIP|CAMERA…]")
@click.option("--fps", default=10.0, show_default=True, type=Finite(0.1), help="Analysed, of a camera.")
@click.option("--engine", "engines", multiple=True, help="Only this engine; may be given again.")
@click.option("--size", "sizes", multiple=True, metavar="N|WxH", help="Input, where the model takes any.")
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1))
@click.option("--pictures", default=24, show_default=True, type=click.IntRange(1), help="In a round.")
@click.option("--threads", default=0, type=click.IntRange(0), help="0: all cores.")
@click.option(
    "--decode-cores",
    default=DECODE_CORES,
    show_default=True,
    type=Finite(0, 64),
    help="Cores that decoding a camera takes.",
)
@stream_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def bench_command(
    store: ConfigStore,
    name: str | None,
    clips: tuple[str, ...],
    fps: float,
    engines: tuple[str, ...],
    sizes: tuple[str, ...],
    rounds: int,
    pictures: int,
    threads: int,
    decode_cores: float,
    stream: int | None,
    as_json: bool,
) -> None:
    """Time NAME (the default model without it) on every engine, precision and shape of its input, on clips or
    a rendered street.

    Rounds take turns, so that other work on the machine slows all alike. Stop the daemon for honest figures.
    """
    models = model_store(store)
    if name is not None and _is_clip(store, models, name):
        clips, name = (name, *clips), None
    load = os.getloadavg()[0]  # before it adds to it
    chosen = models.resolve(name)
    if chosen is None:
        raise ModelError("motion has no weights to time: name a model of `streamer model list`")
    wanted = variants(chosen, [s for text in sizes if (s := pixels_of(text)) is not None], engines)
    with steps() as step:
        found = list(samples(clips or (SCENE,), pictures, open_clip=opener(store, stream)))
        counted = step("rounds", (rounds + 1) * len(wanted))
        timings = bench(
            chosen,
            wanted,
            found,
            rounds=rounds,
            threads=threads,
            camera_fps=fps,
            decode_cores=decode_cores,
            progress=counted,
        )
    if as_json:
        rows = [{**asdict(t), "frames_per_s": round(t.fps, 2)} for t in timings]
        document = {"model": chosen.name or str(chosen.path), "fps": fps, "decode_cores": decode_cores}
        click.echo(json.dumps({**document, "load_average": load, "timings": rows}, indent=2))
        return
    _print(timings, fps, decode_cores, load)
    if chosen.card.input_shape == "fixed" and (share := _share_of_own_shape(timings)) < WORTH_A_NOTE:
        click.echo(
            f"note: with `input_shape: picture` in {chosen.path.with_suffix('.yaml')} these pictures take "
            f"{share:.2f} of the processor time; faint objects may score a little lower: compare "
            "the counts by `streamer analyze`"
        )


def _share_of_own_shape(timings: Sequence[Timing]) -> float:
    """The cheapest way at the pictures' own shape over the cheapest in the model's own input; 1 where the
    model has no such way.
    """
    square = min(t.cpu_ms for t in timings if not t.inputs)
    return min((t.cpu_ms for t in timings if t.inputs), default=square) / square


def _is_clip(store: ConfigStore, models: ModelStore, word: str) -> bool:
    """Whether the first word is a clip or a camera, and no model."""
    if word in (*models.names(), *RESERVED):
        return False
    cameras = store.load_partly()[0].cameras if store.exists() else ()
    clip = is_generated(word) or Path(word).suffix.lower() in CLIPS
    return clip or word in [camera.name for camera in cameras]


def _print(timings: list[Timing], fps: float, decode_cores: float, load: float) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("ENGINE", "PRECISION", "INPUT"):
        table.add_column(title)
    for title in ("MS/FRAME", "WORST ROUND", "FRAMES/S", "CPU MS/FRAME", f"CAMERAS AT {fps:g} FPS"):
        table.add_column(title, justify="right", overflow="fold")
    for t in timings:
        table.add_row(
            t.engine + (f" ({t.note})" if t.note else ""),
            t.precision,
            ", ".join(f"{wide}x{high}" for wide, high in t.inputs or [t.size]),
            f"{t.ms:.1f}",
            f"{t.worst_ms:.1f}",
            f"{t.fps:.1f}",
            f"{t.cpu_ms:.1f}",
            str(t.cameras),
        )
    Console(highlight=False).print(table)
    cores = len(os.sched_getaffinity(0))
    click.echo(
        f"cameras: {SPARE:.0%} of {cores} cores, {decode_cores:g} of a core to decode each; "
        f"the load average was {load:.1f} before"
    )
    if load > cores / 4:
        click.echo("note: other work is in these figures; run it again while the box is quiet")
