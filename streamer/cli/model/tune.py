"""`streamer model tune`: our detector goes on learning from a user's labelled pictures."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from pipelines.train.detector.dataset import CLASSES
from streamer.cli.click_types import stream_option
from streamer.cli.model.add import install, refuse_taken, report
from streamer.cli.model.group import model, model_store
from streamer.config.schema import CameraConfig
from streamer.config.store import ConfigStore
from streamer.errors import GateNotMet, ModelError
from streamer.models.agreement import Agreement
from streamer.models.camera_check import pipeline_of
from streamer.models.fine_tune import MIN_BOXES_TO_CHOOSE, Split, Tuned, card_after, hold_out, tune
from streamer.models.label_formats import Labelling, read_labels
from streamer.models.labelled_images import LabelledPicture, pictures_of_camera, read_pictures
from streamer.models.model_handle import PACKAGED, ModelHandle, write_card
from streamer.models.store import ModelStore


@model.command("tune")
@click.argument("sources", nargs=-1, required=True, metavar="CAMERA|CLIP|FOLDER…")
@click.option(
    "--labels", "labels_path", required=True, type=click.Path(path_type=Path), help="YOLO text or COCO JSON."
)
@click.option("--model", "name", help="Which model goes on learning; without it the camera's or the default.")
@click.option("--as", "stored_as", help="Its name in the store; without it CAMERA-tuned or NAME-tuned.")
@click.option("--steps", type=click.IntRange(1), help="Length of the training; without it by the pictures.")
@stream_option
@click.option("--threads", default=0, type=click.IntRange(0), help="0: all cores.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as a JSON object.")
@click.pass_obj
def tune_command(
    store: ConfigStore,
    sources: tuple[str, ...],
    labels_path: Path,
    name: str | None,
    stored_as: str | None,
    steps: int | None,
    stream: int | None,
    threads: int,
    device: str,
    as_default: bool,
    as_json: bool,
) -> None:
    """Train our detector further on labelled pictures of your own cameras, and keep it only if it is better.

    SOURCES are cameras by name (pictures as `model collect` writes them, beside the labels), folders of
    pictures, or clips with labels named CLIP_FRAME.txt. About a quarter of the pictures, by whole clips or
    hours, is held out: the old model, those that it would replace, and the new one are measured on it, and
    the new one's threshold is chosen there. Needs the extra torch.
    """
    models = model_store(store)
    cameras, paths = _sorted_out(store, sources)
    chosen = _chosen(models, name, cameras)
    stored_as = _free_name(models, stored_as, cameras[0].name if len(cameras) == 1 else chosen.name)
    labels = read_labels(labels_path, CLASSES)
    split = hold_out(_pictures(cameras, paths, labels, labels_path, stream))
    if not as_json:
        click.echo(f"{chosen.display_name} goes on: {_split_line(split)}")
    rivals = _rivals(models, chosen, cameras, as_default)
    with tempfile.TemporaryDirectory(prefix="streamer-tune-") as folder:
        done = tune(chosen, split, Path(folder), steps=steps, threads=threads, device=device, rivals=rivals)
        _print(done, as_json)
        if not done.better:
            raise GateNotMet(
                "the tuned model is not better than what it would replace: not installed; more labelled "
                "pictures, of more hours and clips, help most"
            )
        sidecar = Path(folder) / "card.yaml"
        write_card(sidecar, card_after(chosen.card, done.after.score))
        added = install(models, done.path, stored_as, None, sidecar, as_default, False)
    if not as_json:
        report(added)
        low = "no low_score" if added.card.low_score is None else f"low_score {added.card.low_score:g}"
        click.echo(f"{added.name} has score {added.card.score:g}, {low}")
        for camera in cameras:
            click.echo(f"use it: streamer camera set {camera.name} model={added.name}")


def _sorted_out(store: ConfigStore, sources: Sequence[str]) -> tuple[list[CameraConfig], list[Path]]:
    """Cameras, and folders or clips. Where both have a name, the camera is meant. Raises ModelError."""
    known = {c.name: c for c in store.load_partly()[0].cameras} if store.exists() else {}
    for source in sources:
        if source not in known and not Path(source).exists():
            cameras = ", ".join(known) or "none"
            raise ModelError(f"{source}: no folder, no clip, and no camera (cameras: {cameras})")
    return [known[s] for s in sources if s in known], [Path(s) for s in sources if s not in known]


def _chosen(models: ModelStore, name: str | None, cameras: Sequence[CameraConfig]) -> ModelHandle:
    """The model that goes on learning: the one named, else the first of the cameras' own, the default and
    the one in the package that is a detector of ours. Raises ModelError.
    """
    wanted = [name] if name is not None else [*(c.model for c in cameras if c.model), None, PACKAGED]
    for each in wanted:
        found = models.resolve(each)
        if found is not None and found.path.suffix == ".onnx" and tuple(found.card.classes) == CLASSES:
            return found
    raise ModelError(f"{name}: only the detector of this project can be tuned: leave --model out for that")


def _rivals(
    models: ModelStore, chosen: ModelHandle, cameras: Sequence[CameraConfig], as_default: bool
) -> list[ModelHandle]:
    """What the tuned model would take the place of, beside the one that it is made of."""
    named = [camera.model or pipeline_of(camera).model for camera in cameras] + [None] * as_default
    found = {rival.path: rival for each in named if (rival := models.resolve(each)) is not None}
    return [rival for path, rival in found.items() if path != chosen.path]


def _free_name(models: ModelStore, stored_as: str | None, of: str) -> str:
    """The name asked for, if it is free; else OF-tuned, or the first free OF-tuned-N. Raises ModelError."""
    if stored_as is not None:
        refuse_taken(models, stored_as)
        return stored_as
    return next(name for name in _names(of or "model") if name not in models.names())


def _names(of: str) -> Iterator[str]:
    base = of if of.endswith("-tuned") else f"{of}-tuned"
    yield base
    yield from (f"{base}-{n}" for n in itertools.count(2))


def _pictures(
    cameras: Sequence[CameraConfig],
    paths: Sequence[Path],
    labels: Labelling,
    labels_path: Path,
    stream: int | None,
) -> list[LabelledPicture]:
    """Of clips those of their `stream`; of cameras those beside the labels, in `images` next to them, or
    where `model collect` puts them.
    """
    beside = labels_path if labels_path.is_dir() else labels_path.parent
    found = list(read_pictures(paths, labels, stream))
    for camera in cameras:
        places = [beside, beside / "images", beside.parent, beside.parent / "images"]
        places.append(Path(f"{camera.name}-pictures"))
        found += pictures_of_camera(camera.name, places, labels)
    return found


def _split_line(split: Split) -> str:
    clips = sorted({p.clip for p in split.held})
    line = f"learning from {len(split.learned)} pictures; {len(split.held)} are held out"
    if split.by_clip:
        return f"{line}, of {', '.join(clips[:5])}{' …' if len(clips) > 5 else ''}"
    return f"{line}, the end of the only clip: label a second clip or hour for a measure that can be trusted"


def _print(done: Tuned, as_json: bool) -> None:
    if as_json:
        figures = {name: asdict(found) for name, found in done.rivals.items()}
        before = {"before": asdict(done.before), "before_balanced": _or_none(done.before_balanced)}
        click.echo(json.dumps({**before, "after": asdict(done.after), "would_replace": figures}, indent=2))
        return
    click.echo(f"on {done.after.pictures} pictures that were held out, with {done.after.boxes} objects:")
    rivals = [(f"{name}, in use now", found) for name, found in done.rivals.items()]
    for what, found in (("before", done.before), *rivals, ("after", done.after)):
        click.echo(f"  {what}: {_line(found)}")
    click.echo(_threshold_line(done))


def _or_none(found: Agreement | None) -> dict[str, float] | None:
    return asdict(found) if found is not None else None


def _line(found: Agreement) -> str:
    return (
        f"AP50 {found.ap50:.3f} (95 % {found.ap50_low:.3f} to {found.ap50_high:.3f}), at its threshold of "
        f"{found.score:.2f} precision {found.precision:.3f}, recall {found.recall:.3f}"
    )


def _threshold_line(done: Tuned) -> str:
    if done.before_balanced is None:
        return (
            f"the threshold stays at {done.after.score:.2f}: {done.after.boxes} objects are too few to "
            f"choose one by (at least {MIN_BOXES_TO_CHOOSE}); look whether recall has fallen"
        )
    before = done.before_balanced
    return (
        f"the threshold of {done.after.score:.2f} is chosen on these pictures, where precision and recall "
        f"balance (before, chosen alike, {before.score:.2f}: {before.precision:.3f}, {before.recall:.3f})"
    )
