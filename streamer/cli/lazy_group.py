"""A group of commands that is a table: a command's module is imported when the command is called.

So `streamer status` starts without OpenVINO and numpy, and a module that cannot be imported breaks one
command alone.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from streamer.errors import StreamerError


class Entry(NamedTuple):
    """A line of a table; the command's name is its key."""

    target: str  # module:attribute of a click command
    help: str


class LazyGroup(click.Group):
    """Takes its commands from `table` when they are called, beside those that were added to it."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self._table]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._table.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        path = f"{ctx.command_path} {cmd_name}"
        module, _, attribute = entry.target.partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if os.environ.get("STREAMER_DEBUG"):
                raise
            raise StreamerError(f"`{path}` is not installed here: {error}") from error
        if not isinstance(command, click.Command):
            raise StreamerError(f"`{path}`: {entry.target} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        added = [(name, command.get_short_help_str(80)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(added + [(name, entry.help) for name, entry in self._table.items()])
