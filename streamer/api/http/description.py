"""What /openapi.json says beyond the routes' own words: who may, what is sent and answered, and refusals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from pydantic import BaseModel

from streamer.api.http import problems
from streamer.api.http.answers import Revision

if TYPE_CHECKING:
    from streamer.api.http.routes import Route

_RULES = ("lines", "zones", "masks", "alerts")
_REFS = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one line: what is wrong, and what to do"},
        "code": {
            "type": "string",
            "description": "the command line's exit code by name; of what only HTTP refuses, the status",
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
    "example": {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "no camera 'gaet'",
        "code": "NOT_FOUND",
    },
}
_TOKEN = {"type": "http", "scheme": "bearer", "description": "`streamer token add` makes one"}


def answers(route: Route) -> dict[int | str, dict[str, Any]]:
    """The answers of a route, by status."""
    ref = {"$ref": "#/components/schemas/Problem"}
    refusal = {"description": "Refused", "content": {problems.MEDIA_TYPE: {"schema": ref}}}
    served = {kind: _content(route, kind) for kind in route.produces}
    statuses = (route.status, *route.also)
    return {**{status: {"content": served} for status in statuses}, "default": refusal}


def _content(route: Route, kind: str) -> dict[str, Any]:
    if kind != "application/json":
        return {"schema": {"type": "string"}}
    model = route.answer or (Revision if route.operation == "change" else None)
    example = {"example": {"config_rev": 12}} if model is Revision else {}
    return {"schema": {"type": "object"} if model is None else _ref(model), **example}


def described(route: Route) -> dict[str, Any]:
    """Role, rights, and the body that is sent."""
    extra: dict[str, Any] = {"x-role": route.role, "security": [{"token": []}]} if route.role else {}
    if route.body is not None:
        content = {"application/json": {"schema": _body_schema(route), "example": route.body}}
        extra["requestBody"] = {"required": True, "content": content}
    return extra


def _body_schema(route: Route) -> dict[str, Any]:
    """Of a change of some keys nothing need be there."""
    if route.model is None:
        return {"type": "object", "required": list(route.body or ()) if route.method == "POST" else []}
    schema = _schema_of(route.model)
    if route.method == "PATCH":
        schema["required"] = []
    if route.method == "PUT":  # the path has it
        schema["required"] = [key for key in schema.get("required", ()) if key != "name"]
    return schema


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFS.format(model=model.__name__)}


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Without the parts that its references lead to, which are among the components (complete)."""
    schema = model.model_json_schema(ref_template=_REFS)
    schema.pop("$defs", None)
    return _public(schema)


def _public(schema: dict[str, Any]) -> dict[str, Any]:
    """Without a rule's revision, which is of the daemon's records and not told."""
    if str(schema.get("title", "")).endswith("Spec"):
        schema.get("properties", {}).pop("rev", None)
    return schema


def tag_of(path: str) -> str:
    """The group that a route is shown in."""
    words = _words(path)
    if not path.startswith("/api/"):
        return "service"
    return words[1] if len(words) > 1 and words[1] in _RULES else words[0]


def operation_id(route: Route) -> str:
    """Such as get_cameras_lines_one."""
    one = ["one"] if route.path.endswith("}") else []
    return "_".join([route.method.lower(), *(word.replace(".", "_") for word in _words(route.path)), *one])


def _words(path: str) -> list[str]:
    path = path.removeprefix("/api/v1/").removeprefix("/")
    return [word for word in path.split("/") if not word.startswith("{")]


def complete(app: FastAPI, models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The description, with the parts that its references lead to. What FastAPI says of its own refusals is
    not what is sent here."""
    document = dict(app.openapi())
    schemas: dict[str, Any] = {"Problem": _PROBLEM, "Revision": _schema_of(Revision)}
    for model in models:
        parts = model.model_json_schema(ref_template=_REFS).get("$defs", {})
        schemas |= {name: _public(part) for name, part in parts.items()}
        schemas[model.__name__] = _schema_of(model)
    schemas["CameraConfig"]["required"].remove("url")  # for operators
    document["components"] = {"schemas": schemas, "securitySchemes": {"token": _TOKEN}}
    for path in document["paths"].values():
        for route in path.values():
            found = route["responses"].get("422", {}).get("content", {})
            if "application/json" in found:
                route["responses"].pop("422", None)  # another request may do the same just now
    return document
