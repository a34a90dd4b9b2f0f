"""`streamer schema`: the JSON Schemas of the events, for those who read them."""

from __future__ import annotations

import json

import click

from streamer.events import schemas


@click.command()
@click.argument("event_type", metavar="[TYPE]", required=False)
@click.option("--envelope", is_flag=True, help="The schema of what all events have in common.")
@click.option("--json", "as_json", is_flag=True, help="Without TYPE: all schemas as one JSON object.")
def schema(event_type: str | None, envelope: bool, as_json: bool) -> None:
    """Print the schema of an event TYPE's data, or list the types."""
    if envelope:
        click.echo(_text(schemas.envelope()))
    elif event_type is not None:
        click.echo(_text(schemas.get(event_type)))
    elif as_json:
        click.echo(_text({name: schemas.get(name) for name in schemas.names()}))
    else:
        for name in schemas.names():
            click.echo(f"{name:<32}{schemas.get(name)['title']}")


def _text(schema: object) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False)
