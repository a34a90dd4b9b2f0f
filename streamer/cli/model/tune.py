"""`streamer model tune`: our detector goes on learning from a user's labelled pictures."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from streamer.cli.model.add import install, refuse_taken, report
from streamer.cli.model.group import model, model_store
from streamer.config_store import ConfigStore
from streamer.errors import GateNotMet, ModelError
from streamer.installed import write_card
from streamer.model_agreement import Agreement
from streamer.model_labels import read_labels, read_pictures
from streamer.model_tune import Split, Tuned, hold_out, tune


@model.command("tune")
@click.argument("sources", nargs=-1, required=True, metavar="CLIP|FOLDER…", type=click.Path(path_type=Path))
@click.option(
    "--labels", "labels_path", required=True, type=click.Path(path_type=Path), help="YOLO text or COCO JSON."
)
@click.option("--model", "name", help="Which model goes on learning; without it the default.")
@click.option("--as", "stored_as", help="Its name in the store; without it NAME-tuned.")
@click.option("--steps", type=click.IntRange(1), help="Length of the training; without it by the pictures.")
@click.option("--threads", default=0, type=click.IntRange(0), help="0: all cores.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as a JSON object.")
@click.pass_obj
def tune_command(
    store: ConfigStore,
    sources: tuple[Path, ...],
    labels_path: Path,
    name: str | None,
    stored_as: str | None,
    steps: int | None,
    threads: int,
    device: str,
    as_default: bool,
    as_json: bool,
) -> None:
    """Train our detector further on labelled pictures of your own cameras, and keep it only if it is better.

    SOURCES are folders of pictures, or clips with labels named CLIP_FRAME.txt. About a quarter of the
    pictures, by whole clips, is held out: old and new model are measured on it. Needs the extra torch.
    """
    models = model_store(store)
    chosen = models.resolve(name)
    if chosen is None or chosen.path.suffix != ".onnx":
        raise ModelError("only ONNX of this project's detector can go on learning: `--model default`")
    stored_as = stored_as or f"{chosen.name or 'model'}-tuned"
    refuse_taken(models, stored_as)
    labels = read_labels(labels_path, list(chosen.card.classes))
    split = hold_out(list(read_pictures(sources, labels)))
    if not as_json:
        click.echo(_split_line(split))
    with tempfile.TemporaryDirectory(prefix="streamer-tune-") as folder:
        done = tune(chosen, split, Path(folder), steps=steps, threads=threads, device=device)
        if as_json:
            click.echo(json.dumps({"before": asdict(done.before), "after": asdict(done.after)}, indent=2))
        else:
            _print(done)
        if not done.better:
            raise GateNotMet(
                "the tuned model is not better than the one it was made of: not installed; more labelled "
                "pictures, of more hours and clips, help most"
            )
        sidecar = Path(folder) / "card.yaml"
        write_card(sidecar, chosen.card.model_copy(update={"sha256": ""}))
        added = install(models, done.path, stored_as, None, sidecar, as_default, False)
        if not as_json:
            report(added)


def _split_line(split: Split) -> str:
    clips = sorted({p.clip for p in split.held})
    line = f"learning from {len(split.learned)} pictures; {len(split.held)} are held out"
    if split.by_clip:
        return f"{line}, of {', '.join(clips[:5])}{' …' if len(clips) > 5 else ''}"
    return f"{line}, the end of the only clip: label a second clip for a measure that can be trusted"


def _print(done: Tuned) -> None:
    click.echo(f"on {done.after.pictures} pictures that were held out, with {done.after.boxes} objects:")
    for what, found in (("before", done.before), ("after", done.after)):
        click.echo(f"  {what}: {_line(found)}")


def _line(found: Agreement) -> str:
    return (
        f"AP50 {found.ap50:.3f} (95 % {found.ap50_low:.3f} to {found.ap50_high:.3f}), precision "
        f"{found.precision:.3f}, recall {found.recall:.3f}"
    )
