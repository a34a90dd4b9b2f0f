"""What is wrong with data, in one line for the person who wrote it.

pydantic's own words are about the types of a program, and repeat values that could be a credential.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipelines.rules import NAME_PATTERN, NAME_RULE, PATH_PATTERN, PATH_RULE
from streamer.errors import one_line
from streamer.logs import redact

SECRET_KEYS = ("url", "username", "password")  # whose values are never repeated in an error
PATTERNS = {NAME_PATTERN: NAME_RULE, PATH_PATTERN: PATH_RULE}
WORDS = {  # by pydantic's type of an error
    "missing": "is missing",
    **dict.fromkeys(("tuple_type", "list_type"), "should be a list, such as [a, b]"),
    **dict.fromkeys(("dict_type", "model_type"), "should hold `key: value` lines"),
    "string_type": "should be a text; quote it",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "path_type": "should be a path",
}
Place = tuple[str | int, ...]  # the way to a key: ("rules", "lines", 0, "points")


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[Place, str]:
    """The place and one line about the first of the errors, with the nearest key that does exist."""
    errors = error.errors(include_url=False)
    # A mistyped key is told before the one that is missing for it.
    first, *others = sorted(errors, key=lambda e: e["type"] != "extra_forbidden")
    place: Place = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        text = "unknown key" + _suggest(model, place)
    else:
        text = _for_people(first)
        value = first["input"]
        secret = model.model_config.get("hide_input_in_errors") or set(place) & set(SECRET_KEYS)
        if isinstance(value, str | int | float) and first["type"] != "value_error" and not secret:
            text += f", got {redact(repr(value))[:80]}"
    return place, one_line(text) + (f" (and {len(others)} more)" if others else "")


def _for_people(error: ErrorDetails) -> str:
    """What is wrong, without the words of a programming language."""
    context, place, kind = error.get("ctx", {}), error["loc"], error["type"]
    if kind == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return PATTERNS[context["pattern"]]
    if kind in ("too_short", "too_long"):
        bound = (
            f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        )
        what = "points" if place and place[-1] == "points" else "entries"
        return f"needs {bound} {what}, not {context['actual_length']}"
    text = WORDS.get(kind) or error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _suggest(model: type[BaseModel], place: Place) -> str:
    """What may be meant by a key that there is not at `place`: one that stands elsewhere, or one like it."""
    word, known = str(place[-1]), _fields_at(model, place[:-1])
    if elsewhere := list(_places_of(model, word)):
        return f": {word} belongs {' or '.join(elsewhere)}"
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f": did you mean {near[0]!r}?"
    return f": known here are {', '.join(known)}" if known else ""


def _places_of(model: type[BaseModel], word: str, above: str = "") -> Iterator[str]:
    """Where in `model` there is a key `word`: "at the top level", or "under" the keys that lead there. Lists
    are left out, whose entries have such keys as name, which says nothing."""
    if word in model.model_fields:
        yield f"under {above}" if above else "at the top level"
    for key, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        below = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if below is not None and get_origin(field.annotation) not in (tuple, list, dict):
            yield from _places_of(below, word, f"{above}.{key}" if above else key)


def _fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that `model` knows at `place`; [] where it is not a model."""
    annotation: Any = model
    for step in place:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(step))
            annotation = field.annotation if field else None
        else:  # tuple[Model, ...] or dict[str, Model]
            annotation = next((a for a in get_args(annotation) if isinstance(a, type) and a is not str), None)
    if not isinstance(annotation, type):  # Model | None
        annotation = next((a for a in get_args(annotation) if isinstance(a, type)), None)
    return (
        list(annotation.model_fields)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        else []
    )


def show_place(place: Place) -> str:
    """("rules", "lines", 0, "name") as rules.lines[0].name."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{one_line(step)[:80]}" for step in place)
    return text.removeprefix(".")
