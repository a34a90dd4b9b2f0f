"""Arguments that come from outside, read as they are meant: nothing is coerced, ignored or unbounded.

They are plain JSON, in which a list is what a tuple is written as, and everything else is what it is.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from streamer.config.validation_errors import explain, show_place
from streamer.errors import ConfigError
from streamer.logs import redact

Model = TypeVar("Model", bound=BaseModel)


class Arguments(BaseModel):
    """Frozen; unknown ones are refused, and a refusal repeats no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def read_arguments(model: type[Model], arguments: dict[str, Any]) -> Model:
    """Raises ConfigError: one line that names the argument."""
    try:
        json.dumps(arguments, ensure_ascii=False).encode()  # plain, in Unicode, and not without end
        return model.model_validate(_with_tuples(arguments), strict=True)
    except (TypeError, UnicodeError, RecursionError) as error:
        raise ConfigError("arguments are plain JSON, and not nested as deep as these") from error
    except ValidationError as error:
        place, text = explain(error, model)
        if issubclass(model, RootModel):
            place = place[1:]  # which of the kinds it was taken for
        raise ConfigError(f"{redact(show_place(place))}: {text}" if place else text) from None


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list | tuple) else value
