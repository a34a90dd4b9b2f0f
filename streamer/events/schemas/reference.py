"""The event reference as Markdown, written from the schemas.

python -m streamer.events.schemas.reference > docs/reference/events.md
"""

from __future__ import annotations

from typing import Any

from streamer.events import schemas

_INTRODUCTION = """\
# Event reference

Every event is a [CloudEvent 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) in
JSON. `streamer schema` lists the types, `streamer schema TYPE` prints the JSON Schema of a type's `data`, and
`streamer schema --envelope` that of the rest. How to read them: [consumers](../consumers.md). This page is
written from the schemas by `python -m streamer.events.schemas.reference`.

Within a version (`.v1`) members are only ever added: ignore those you do not know. Coordinates are normalised
to the picture, x to the right and y downwards; times in nanoseconds are integers.
"""


def text() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "## The envelope\n", _table(schemas.envelope())]
    common = _common()
    required = schemas.get(schemas.names()[0])["required"]
    parts += ["## In the data of every event\n", _table({"properties": common, "required": required})]
    for name in schemas.names():
        schema = schemas.get(name)
        description = schema["description"].split(" This is the schema")[0]
        parts += [f"## {name}\n", f"{description}\n", _table(schema, without=common)]
    return "\n".join(parts)


def _common() -> dict[str, Any]:
    """The members that nearly all types have, with one meaning."""
    properties = [schemas.get(name)["properties"] for name in schemas.names()]
    return {
        name: meaning
        for name, meaning in properties[0].items()
        if sum(other.get(name) == meaning for other in properties) >= len(properties) - 1
    }


def _table(schema: dict[str, Any], without: dict[str, Any] | None = None) -> str:
    rows = ["| member | type | meaning |", "|---|---|---|"]
    for name, property_ in schema["properties"].items():
        if without and without.get(name) == property_:
            continue
        optional = "" if name in schema["required"] else " (may be absent)"
        rows.append(f"| `{name}` | {_type(property_)} | {property_['description']}{optional} |")
        for inner, inner_property in property_.get("properties", {}).items():
            if "description" in inner_property:
                rows.append(
                    f"| `{name}.{inner}` | {_type(inner_property)} | {inner_property['description']} |"
                )
    return "\n".join(rows) + "\n"


def _type(property_: dict[str, Any]) -> str:
    if "enum" in property_:
        return ", ".join(f"`{value}`" for value in property_["enum"])
    if "const" in property_:
        return f"`{property_['const']}`"
    types = property_["type"]
    return " or ".join(types) if isinstance(types, list) else str(types)


if __name__ == "__main__":
    print(text(), end="")
