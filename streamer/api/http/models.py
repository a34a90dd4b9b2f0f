"""`/api/v1/models` and `/api/v1/actions`: what a camera may be given to detect by, and to tell actions by."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from pipelines.actions.card import BUNDLED, ActionCard, model_path, read_action_card, sidecar_of
from pipelines.detect.errors import ModelRefused
from streamer.api.http.site import Site
from streamer.api.tokens import Token
from streamer.models.store import Listed, ModelStore


def models(request: Request) -> JSONResponse:
    """The detector in the package and those of the store, as `streamer model list`, with the cameras that
    name them."""
    site, token = request.app.state.site, request.state.token
    listed = ModelStore(site.config.state_path / "models").listed()
    return JSONResponse({"models": [_model(site, token, item) for item in listed]})


def _model(site: Site, token: Token, item: Listed) -> dict[str, Any]:
    told: dict[str, Any] = {"name": item.name, "default": item.default, "in_package": item.in_package}
    if item.handle is not None:
        told |= item.handle.card.model_dump(mode="json")
    users = [c.name for c in site.config.cameras if c.model == item.name and token.sees(c.name)]
    return {**told, "problem": item.problem, "cameras": users}


def actions(request: Request) -> JSONResponse:
    """The action models in the package and those that cameras name: their labels, with the cameras."""
    site, token = request.app.state.site, request.state.token
    used = {c.actions for c in site.config.cameras if c.actions and token.sees(c.name)}
    bundled = {path.stem for path in BUNDLED.glob("*.onnx")}
    named = sorted(bundled | used)
    return JSONResponse({"actions": [_action(site, token, name, name in bundled) for name in named]})


def _action(site: Site, token: Token, name: str, in_package: bool) -> dict[str, Any]:
    users = [c.name for c in site.config.cameras if c.actions == name and token.sees(c.name)]
    told: dict[str, Any] = {"name": name, "in_package": in_package, "cameras": users, "problem": ""}
    try:
        told["heads"] = _heads(read_action_card(sidecar_of(model_path(name))))
    except ModelRefused as error:
        told["problem"] = str(error)
    return told


def _heads(card: ActionCard) -> list[dict[str, Any]]:
    return [
        {"name": head.name, "labels": list(head.labels), "silent": list(head.silent)} for head in card.heads
    ]
