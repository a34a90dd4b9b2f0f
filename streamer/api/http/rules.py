"""`/api/v1/cameras/NAME/lines`, `/zones`, `/masks` and `/alerts`: the rules of a camera, one by one.

Points are shares of the picture (0..1), x right, y down, as in the camera's file. What is changed is an
operation of the daemon's, so that it is judged as the file itself would be.
"""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from pipelines.alerts.rule import AlertSpec
from pipelines.camera_rules import REVISED
from pipelines.rules import LineSpec, MaskSpec, ZoneSpec
from streamer.api.http import cameras
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.tokens import Token


class RuleKind:
    """The routes of one kind of rule: `word` is its name in a change, `model` what one holds."""

    def __init__(self, word: str, model: type[BaseModel]) -> None:
        self.word, self.plural, self.model = word, f"{word}s", model

    def list_(self, request: Request, name: str) -> JSONResponse:
        """All of the camera, as its file has them."""
        return JSONResponse({self.plural: self._all(*_asked(request), name)})

    def show(self, request: Request, name: str, rule: str) -> JSONResponse:
        """One of them, as the camera's file has it."""
        return JSONResponse(self._one(*_asked(request), name, rule))

    async def add(self, request: Request, name: str) -> JSONResponse:
        """Add one. A name that there is already is refused (409)."""
        body = await cameras.read_json(request, ())
        there = await run_sync(self._all, *_asked(request), name)
        if any(body.get("name") == item["name"] for item in there):
            taken = f"camera {name}: {self.word} {body['name']!r} exists: choose another name, or PUT it"
            raise HttpRefusal(409, taken)
        return await self._put(request, name, body, 201)

    async def put(self, request: Request, name: str, rule: str) -> JSONResponse:
        """Make it what is sent, whether there was one (200) or not (201)."""
        body = await cameras.read_json(request, ())
        there = await run_sync(self._all, *_asked(request), name)
        known = any(item["name"] == rule for item in there)
        return await self._put(request, name, _named(body, rule), 200 if known else 201)

    async def change(self, request: Request, name: str, rule: str) -> JSONResponse:
        """Change the keys that are sent; null is a key's default."""
        body = await cameras.read_json(request, ())
        before = await run_sync(self._one, *_asked(request), name, rule)
        merged = {**before, **_named(body, rule)}
        kept = {key: value for key, value in merged.items() if value is not None}
        return await self._put(request, name, kept, 200)

    async def remove(self, request: Request, name: str, rule: str) -> JSONResponse:
        """Remove it. What it has counted stays."""
        await run_sync(self._one, *_asked(request), name, rule)
        change = {"op": f"{self.word}.remove", "camera": name, "name": rule}
        return await cameras.apply(request, change, 200)

    async def _put(self, request: Request, name: str, rule: dict[str, Any], status: int) -> JSONResponse:
        change = {"op": f"{self.word}.put", "camera": name, self.word: rule, "replace": status == 200}
        return await cameras.apply(request, change, status)

    def _all(self, site: Site, token: Token, name: str) -> list[dict[str, Any]]:
        cameras.known(site, token, name)
        camera = site.config.camera(name)
        if camera is None:
            raise HttpRefusal(409, f"camera {name} is misconfigured: mend its file first")
        items = [
            item.model_dump(mode="json", exclude_none=True) for item in getattr(camera.rules, self.plural)
        ]
        if self.plural in REVISED:
            for item in items:
                del item["rev"]  # of the daemon's records, not of the settings
        return items

    def _one(self, site: Site, token: Token, name: str, rule: str) -> dict[str, Any]:
        there = self._all(site, token, name)
        for item in there:
            if item["name"] == rule:
                return item
        known = ", ".join(item["name"] for item in there) or "there is none"
        raise HttpRefusal(404, f"camera {name}: no {self.word} {rule[:64]!r}; known: {known}")


LINES, ZONES, MASKS = RuleKind("line", LineSpec), RuleKind("zone", ZoneSpec), RuleKind("mask", MaskSpec)
ALERTS = RuleKind("alert", AlertSpec)


def _asked(request: Request) -> tuple[Site, Token]:
    return request.app.state.site, request.state.token


def _named(body: dict[str, Any], rule: str) -> dict[str, Any]:
    """With the name of its path. Raise HttpRefusal for another one."""
    if body.get("name", rule) != rule:
        raise HttpRefusal(422, f"name: is not {rule[:64]!r}, as the path has it: add it under its new name")
    return {**body, "name": rule}
