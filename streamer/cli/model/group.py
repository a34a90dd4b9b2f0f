"""`streamer model`: the store; list, verify, remove, choose the default."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from streamer.config.store import ConfigStore
from streamer.errors import ModelError, StorageError
from streamer.models.model_handle import MOTION, PACKAGED, ModelHandle
from streamer.models.store import Listed, ModelStore

WHEN_TAKEN = "a running daemon takes it when its inference workers start again"
SHOWN_CLASSES = 6  # groups named in the listing before it says how many more there are


def model_store(store: ConfigStore) -> ModelStore:
    """The store in the configured state folder, or in the usual one where nothing is configured yet.

    Raises ConfigError, also where there is nothing at the path that was named, and StorageError where this
    user may not see the store.
    """
    if store.named and not store.exists():
        raise store.missing()
    state = store.settings().state_path if store.exists() else store.default_state_dir()
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
    """Get, list, verify, measure and adapt the models that detectors use."""


@model.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_models(store: ConfigStore, as_json: bool) -> None:
    """List the detector in the package and the installed models; the default is used where none is named."""
    models = model_store(store)
    known = models.listed()
    if as_json:
        click.echo(json.dumps([_as_json(item) for item in known], indent=2))
        return
    _print_table(known)
    if models.default_name() == MOTION:
        click.echo("the default is motion: no weights, everything that moves is an `object`")
    for item in known:
        if item.problem:
            click.secho(f"warning: {item.name}: {item.problem}", fg="yellow", err=True)


def _print_table(known: list[Listed]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "DEFAULT", "HEAD", "COUNTS", "LICENCE", "SHA-256"):
        table.add_column(title, overflow="fold")
    for item in known:
        name = f"{item.name} (in the package)" if item.in_package else item.name
        row = [name, "yes" if item.default else ""]
        if item.handle is not None:
            card = item.handle.card
            row += [card.head or "?", groups_of(item.handle), card.licence or "?", card.sha256[:12]]
        if item.problem:
            row[5:] = [*(["?"] * (5 - len(row))), "cannot be used"]
        table.add_row(*row)
    Console(highlight=False).print(table)


def groups_of(item: ModelHandle) -> str:
    groups = list(dict.fromkeys(item.card.classes.values()))
    rest = len(groups) - SHOWN_CLASSES
    return ", ".join(groups[:SHOWN_CLASSES]) + (f" and {rest} more" if rest > 0 else "")


def _as_json(item: Listed) -> dict[str, Any]:
    told = {"name": item.name, "default": item.default, "in_package": item.in_package}
    if item.handle is not None:
        told |= {"path": str(item.handle.path), **item.handle.card.model_dump(mode="json")}
    return {**told, "problem": item.problem}


@model.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def verify(store: ConfigStore, name: str | None, as_json: bool) -> None:
    """Hash, load and run the model NAME, or all of them and the one in the package. Fails if one is damaged
    or changed.
    """
    verdicts = model_store(store).verify(name)
    if as_json:
        click.echo(
            json.dumps([{"name": v.name, "ok": not v.problem, "problem": v.problem} for v in verdicts])
        )
    else:
        for verdict in verdicts:
            where = " (in the package)" if verdict.in_package else ""
            click.echo(f"{verdict.name}{where}: {verdict.problem or 'ok'}")
    broken = [verdict for verdict in verdicts if verdict.problem]
    if broken:
        advice = []
        if any(verdict.torn for verdict in broken):
            advice.append("mend the sidecar that is named above")
        if any(not verdict.in_package and not verdict.torn for verdict in broken):
            advice.append("`streamer model remove NAME`, then add it again")
        if any(verdict.in_package for verdict in broken):
            advice.append(f"for {PACKAGED}, install streamer again: its file comes with the package")
        names = ", ".join(verdict.name for verdict in broken)
        raise ModelError(
            f"{len(broken)} of {len(verdicts)} models cannot be used ({names}): {'; '.join(advice)}"
        )


@model.command()
@click.argument("name")
@click.pass_obj
def remove(store: ConfigStore, name: str) -> None:
    """Remove the model NAME from the store, where no camera names it."""
    models = model_store(store)
    users = [c.name for c in store.load_readable()[0].cameras if c.model == name] if store.exists() else []
    if users:
        raise ModelError(
            f"{name} is the model of {', '.join(users)}: give another first, such as "
            f"streamer camera set {users[0]} model=default"
        )
    was_default = models.default_name() == name
    models.remove(name)
    click.echo(f"removed {name}" + (": the default is the one in the package now" if was_default else ""))


@model.command()
@click.argument("name")
@click.pass_obj
def default(store: ConfigStore, name: str) -> None:
    """Use the model NAME where a pipeline names none: of the store, `default` (the one in the package) or
    `motion`. A running daemon takes it when its inference workers start again.
    """
    model_store(store).set_default(name)
    click.echo(f"{name} is the default; {WHEN_TAKEN}")
