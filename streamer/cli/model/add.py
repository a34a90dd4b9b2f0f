"""`streamer model add` and `pull`: weights from a file, an address or the table of well-known ones."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from streamer.cli.model.group import WHEN_TAKEN, groups_of, model, model_store
from streamer.config.store import ConfigStore
from streamer.errors import ModelError
from streamer.logs import redact
from streamer.models.catalogue import CATALOGUE, PublicModel, Recorded, by_hand, public_model
from streamer.models.download import Downloaded, Limits, check_url, download, is_url
from streamer.models.export import export_to_onnx
from streamer.models.model_handle import SUFFIXES, ModelHandle, check_digest
from streamer.models.store import ModelStore, check_free, name_from

MEGABYTE = 1_000_000


@model.command()
@click.argument("file", metavar="FILE|URL")
@click.option("--name", help="Its name in the store; without it one is made of the file's name.")
@click.option("--sha256", help="What the file must have, as `sha256sum FILE` prints it.")
@click.option("--sidecar", type=click.Path(path_type=Path), help="YAML with classes, groups, score or head.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.option("--max-mb", default=2147, show_default=True, type=click.IntRange(1), help="Of a download.")
@click.pass_obj
def add(
    store: ConfigStore,
    file: str,
    name: str | None,
    sha256: str | None,
    sidecar: Path | None,
    as_default: bool,
    max_mb: int,
) -> None:
    """Load FILE (ONNX, or .pt with the extra torch), run it once, and install it.

    The first one becomes the default. A URL is downloaded first: a download that was cut goes on where it
    was, and the SHA-256 of its first time is what that address must have ever after.
    """
    models = model_store(store)
    if not is_url(file):
        path = Path(file)
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        report(install(models, path, name, sha256, sidecar, as_default))
        return
    target = _download_path(models, file)
    name = name if name is not None else target.parent.name
    refuse_taken(models, name)
    sha256 = _expected(models, file, sha256)
    there = fetch(models, file, target, sha256, Limits(max_bytes=max_mb * MEGABYTE))
    report(install(models, there.path, name, there.sha256, sidecar, as_default))
    there.path.unlink()


@model.command()
@click.argument("name", required=False)
@click.option("--list", "as_list", is_flag=True, help="List what can be pulled, with licences and addresses.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print a JSON array.")
@click.option("--as", "stored_as", help="Its name in the store; without it NAME.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.option("--changed", is_flag=True, help="Accept that the file at this address is another one by now.")
@click.pass_obj
def pull(
    store: ConfigStore,
    name: str | None,
    as_list: bool,
    as_json: bool,
    stored_as: str | None,
    as_default: bool,
    changed: bool,
) -> None:
    """Download the well-known weights NAME from where their authors publish them, and install them.

    Weights have licences of their own, which are printed. A `.pt` is converted to ONNX (extra torch).
    """
    if as_list or name is None:
        _print_catalogue(as_json)
        return
    public = public_model(name)
    models = model_store(store)
    stored_as = stored_as or name
    refuse_taken(models, stored_as)
    click.echo(f"{name}: {public.url} (about {public.megabytes:g} MB, licence {public.licence})")
    there = _pull(models, public, changed)
    weights = there.path
    if public.suffix == ".pt":
        weights = export_to_onnx(there.path, there.path.with_suffix(".onnx"), size=public.size).path
    report(install(models, weights, stored_as, None, None, as_default))
    for path in {there.path, weights}:
        path.unlink()


def _pull(models: ModelStore, public: PublicModel, changed: bool) -> Downloaded:
    expected = public.sha256 or (None if changed else Recorded(models.folder).get(public.url))
    try:
        there = fetch(models, public.url, _download_path(models, public.url), expected, Limits())
    except ModelError as error:
        if expected is not None and "SHA-256" in str(error):
            raise ModelError(
                f"{error}. If its authors have published a new one: "
                f"`streamer model pull {public.name} --changed`"
            ) from error
        raise ModelError(by_hand(public, str(error))) from error
    if public.reported is not None:
        same = there.sha256 == public.reported
        click.echo(
            "its SHA-256 is the one that other public projects pin"
            if same
            else f"note: other public projects pin another SHA-256 for this file: {public.reported}"
        )
    return there


def fetch(models: ModelStore, url: str, target: Path, sha256: str | None, limits: Limits) -> Downloaded:
    """Download with a progress bar, and record the SHA-256 of an address that was never fetched before."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(target.parent.name, total=None)
        there = download(
            url,
            target,
            sha256=sha256,
            limits=limits,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    Recorded(models.folder).put(url, there.sha256)
    click.echo(
        f"SHA-256 {there.sha256}" + (" (as expected)" if sha256 else " (recorded: checked from now on)")
    )
    return there


def install(
    models: ModelStore,
    file: Path,
    name: str | None,
    sha256: str | None,
    sidecar: Path | None,
    as_default: bool,
    first_is_default: bool = True,
) -> ModelHandle:
    added = models.add(file, name, sha256=sha256, sidecar=sidecar, first_is_default=first_is_default)
    if as_default:
        models.set_default(added.name)
        added = models.get(added.name)
    return added


def report(added: ModelHandle) -> None:
    click.echo(f"added {added.name}: head {added.card.head}, SHA-256 {added.card.sha256}")
    click.echo(f"counts {groups_of(added)}; to change that, edit {added.path.with_suffix('.yaml')}")
    for note in added.notes():
        click.echo(f"note: {note}")
    click.echo(
        f"it is the default; {WHEN_TAKEN}"
        if added.default
        else f"make it the default: streamer model default {added.name}"
    )


def refuse_taken(models: ModelStore, name: str) -> None:
    """Say so before a long download or conversion, not after it. Raises ModelError."""
    if check_free(name) in models.names():
        raise ModelError(f"model {name!r} exists: give another name, or `streamer model remove {name}` first")


def _download_path(models: ModelStore, url: str) -> Path:
    """Where a download grows: in the store's folder, so that it is resumed by whoever asks again."""
    check_url(url)
    name = Path(unquote(urlsplit(url).path)).name
    if not name.lower().endswith(SUFFIXES):
        raise ModelError(
            f"{redact(url)}: its path ends in none of {', '.join(SUFFIXES)}: fetch the file by hand"
        )
    return models.folder / ".downloads" / name_from(Path(name)) / f"model{Path(name).suffix.lower()}"


def _expected(models: ModelStore, url: str, sha256: str | None) -> str | None:
    """What the file must have; plain http without a digest is refused, since anybody on the way may change
    it.
    """
    if sha256 is not None:
        return check_digest(sha256)
    if urlsplit(url).scheme == "http":
        raise ModelError(
            f"{redact(url)}: what comes over plain http may be changed on the way: give --sha256"
        )
    return Recorded(models.folder).get(url)


def _print_catalogue(as_json: bool) -> None:
    if as_json:
        keys = ("name", "url", "licence", "size", "megabytes", "note", "sha256")
        click.echo(json.dumps([{key: getattr(m, key) for key in keys} for m in CATALOGUE.values()], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "MB", "INPUT", "LICENCE", "NOTE", "FROM"):
        table.add_column(title, overflow="fold")
    for m in CATALOGUE.values():
        host = urlsplit(m.url).hostname or ""
        table.add_row(m.name, f"{m.megabytes:g}", str(m.size), m.licence, m.note, host)
    Console(highlight=False).print(table)
