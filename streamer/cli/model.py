"""`streamer model`: the weights that detectors use, each pinned by its SHA-256."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from streamer.config_store import ConfigStore
from streamer.errors import ModelError, StorageError
from streamer.models import Installed, ModelStore

SHOWN_CLASSES = 6  # groups named in the listing before it says how many more there are


def model_store(store: ConfigStore) -> ModelStore:
    """The store in the configured state folder, or in the usual one where nothing is configured yet.

    Raises ConfigError, or StorageError where this user may not see it.
    """
    state = store.load().state_path if store.exists() else store.default_state_dir()
    folder = state / "models"
    try:
        folder.stat()
    except FileNotFoundError:
        pass  # it is made when the first model is added
    except PermissionError as error:
        raise StorageError(f"{folder}: only the daemon's user and root may look into it: use sudo") from error
    return ModelStore(folder)


@click.group()
def model() -> None:
    """List, add and verify the models that detectors use."""


@model.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_models(store: ConfigStore, as_json: bool) -> None:
    """List the installed models; the default is used where a pipeline names none."""
    models = model_store(store)
    installed = models.installed()
    if as_json:
        click.echo(json.dumps([_as_json(item) for item in installed], indent=2))
    elif not installed:
        click.echo(
            f"no model in {models.folder}: add one with `streamer model add FILE.onnx`; "
            "until then the motion detector is used, which knows one class, object"
        )
    else:
        _print_table(installed)


def _print_table(installed: list[Installed]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "", "HEAD", "COUNTS", "LICENCE", "SHA-256"):
        table.add_column(title, overflow="fold")
    for item in installed:
        mark = "default" if item.default else ""
        card = item.card
        table.add_row(item.name, mark, card.head or "?", _groups(item), card.licence or "?", card.sha256[:12])
    Console(highlight=False).print(table)


def _groups(item: Installed) -> str:
    groups = list(dict.fromkeys(item.card.classes.values()))
    rest = len(groups) - SHOWN_CLASSES
    return ", ".join(groups[:SHOWN_CLASSES]) + (f" and {rest} more" if rest > 0 else "")


def _as_json(item: Installed) -> dict[str, Any]:
    card = item.card.model_dump(mode="json")
    return {"name": item.name, "default": item.default, "path": str(item.path), **card}


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Its name in the store; without it one is made of the file's name.")
@click.option("--sha256", help="What the file must have, as `sha256sum FILE` prints it.")
@click.option("--sidecar", type=click.Path(path_type=Path), help="YAML with classes, groups, score or head.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.pass_obj
def add(
    store: ConfigStore,
    file: Path,
    name: str | None,
    sha256: str | None,
    sidecar: Path | None,
    as_default: bool,
) -> None:
    """Load FILE (ONNX), run it once, and install it. The first one becomes the default."""
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    models = model_store(store)
    added = models.add(file, name, sha256=sha256, sidecar=sidecar)
    if as_default:
        models.set_default(added.name)
        added = models.get(added.name)
    click.echo(f"added {added.name}: head {added.card.head}, SHA-256 {added.card.sha256}")
    click.echo(f"counts {_groups(added)}; to change that, edit {added.path.with_suffix('.yaml')}")
    for note in added.notes():
        click.echo(f"note: {note}")
    click.echo(
        "it is the default" if added.default else f"make it the default: streamer model default {added.name}"
    )


@model.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def verify(store: ConfigStore, name: str | None, as_json: bool) -> None:
    """Hash, load and run the model NAME, or all of them. Fails if one is damaged or changed."""
    verdicts = model_store(store).verify(name)
    if as_json:
        click.echo(
            json.dumps([{"name": v.name, "ok": not v.problem, "problem": v.problem} for v in verdicts])
        )
    else:
        for verdict in verdicts:
            click.echo(f"{verdict.name}: {verdict.problem or 'ok'}")
    broken = [verdict.name for verdict in verdicts if verdict.problem]
    if broken:
        raise ModelError(
            f"{len(broken)} of {len(verdicts)} models cannot be used ({', '.join(broken)}): "
            "`streamer model remove NAME`, then add it again"
        )


@model.command()
@click.argument("name")
@click.pass_obj
def remove(store: ConfigStore, name: str) -> None:
    """Remove the model NAME from the store."""
    model_store(store).remove(name)
    click.echo(f"removed {name}")


@model.command()
@click.argument("name")
@click.pass_obj
def default(store: ConfigStore, name: str) -> None:
    """Use the model NAME where a pipeline names none. A running daemon takes it when it is started again."""
    model_store(store).set_default(name)
    click.echo(f"{name} is the default; a running daemon takes it when it is started again")
