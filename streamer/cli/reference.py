"""The reference of the command line as Markdown, written from the commands themselves.

python -m streamer.cli.reference > docs/reference/commands.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from streamer.cli.main import cli

_INTRODUCTION = """\
# Commands

What `--help` says, of all commands on one page. It is written from them by
`python -m streamer.cli.reference`. What they end in: [exit codes](exit-codes.md).
"""


def text() -> str:
    """The whole page."""
    return "\n".join(
        [_INTRODUCTION, *_command(cli, click.Context(cli, info_name="streamer", **cli.context_settings))]
    )


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n"
    yield f"```\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    if help_ := inspect.cleandoc(command.help or "").replace("\b\n", "").partition("\f")[0].strip():
        yield f"{_escaped(help_)}\n"
    if rows := [row for param in command.get_params(context) if (row := param.get_help_record(context))]:
        yield "\n".join(["| option | |", "|---|---|", *map(_row, rows)]) + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _command(inner, click.Context(inner, info_name=name, parent=context))


def _row(record: tuple[str, str]) -> str:
    option, meaning = (" ".join(part.split()).replace("|", r"\|") for part in record)
    return f"| `{option}` | {_escaped(meaning)} |"


def _escaped(text: str) -> str:
    """As Markdown: a `<` begins no tag."""
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    print(text(), end="")
