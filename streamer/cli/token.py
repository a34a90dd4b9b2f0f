"""`streamer token add|link|list|remove`: who may ask over HTTP or use the page, and for what."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from streamer.api.callers import ROLES, Role
from streamer.api.sign_in_links import VALID_S, LinkStore
from streamer.api.tokens import TokenStore
from streamer.cli.click_types import split_words
from streamer.cli.lenient_config import readable, warn_of
from streamer.config.api_settings import page_address
from streamer.config.schema import Config
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError


@click.group()
def token() -> None:
    """Tokens for the page and for programs that ask over HTTP (api.listen): made, listed, removed."""


@token.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), required=True, help="viewer reads, operator changes cameras."
)
@click.option("--cameras", help="Only these cameras: a,b")
@click.option("--link", is_flag=True, help="For a person: print a link to the page, not the token.")
@click.pass_obj
def add(store: ConfigStore, name: str, role: Role, cameras: str | None, link: bool) -> None:
    """Make a token and print it, once: only its hash is kept.

    A viewer reads states, counts and events; an operator also changes cameras; an admin also gets pictures.
    """
    config = readable(store)
    chosen = None if cameras is None else tuple(split_words(cameras))
    if chosen == ():
        raise ConfigError("--cameras: name at least one camera, or leave it out for all")
    if link:
        page_address(config.api)  # before anything is made
    secret = TokenStore(config.state_path).add(name, role, chosen)
    if link:
        _print_link(config, name)
    else:
        _print_token(name, role, secret)
    warn_of(f"no camera {c!r} is configured yet" for c in chosen or () if config.camera(c) is None)
    if config.api.listen is None:
        click.echo("nothing listens yet: set api.listen in streamer.yaml (docs/api.md)", err=True)


def _print_token(name: str, role: Role, secret: str) -> None:
    click.echo(secret)
    click.echo(f"token {name} added ({role}); it is not shown again. Use it as\n"
               "  curl -H 'Authorization: Bearer TOKEN' …", err=True)  # fmt: skip


def _print_link(config: Config, name: str) -> None:
    """Raise ConfigError where there is no such token, or no page."""
    address = page_address(config.api)
    tokens = TokenStore(config.state_path).tokens()
    found = next((token for token in tokens if token.name == name), None)
    if found is None:
        raise ConfigError(f"no token {name[:64]!r}: make it with `streamer token add {name[:64]} --link`")
    code = LinkStore(config.state_path).add(found)
    click.echo(f"{address}/#/sign-in/{code}")
    click.echo(
        f"signs in once as {name} ({found.role}), within {VALID_S / 60:g} minutes: open it on the device "
        f"that is to be used, or send it to its person. Another one: streamer token link {name}",
        err=True,
    )


@token.command()
@click.argument("name")
@click.pass_obj
def link(store: ConfigStore, name: str) -> None:
    """Print a link that signs a person in to the page once, as who has the token."""
    _print_link(readable(store), name)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(store: ConfigStore, as_json: bool) -> None:
    """List the tokens: names, roles and cameras."""
    tokens = TokenStore(readable(store).state_path).tokens()
    rows = [token.model_dump(mode="json", exclude={"sha256"}) for token in tokens]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("no tokens; make one: streamer token add NAME --role viewer")
        return
    table = Table("token", "role", "cameras", "created")
    for row in rows:
        table.add_row(row["name"], row["role"], ", ".join(row["cameras"] or ["all"]), row["created"])
    Console().print(table)


@token.command()
@click.argument("name")
@click.pass_obj
def remove(store: ConfigStore, name: str) -> None:
    """Remove a token: what uses it is refused from now on, also where it is connected."""
    TokenStore(readable(store).state_path).remove(name)
    click.echo(f"token {name} removed")
