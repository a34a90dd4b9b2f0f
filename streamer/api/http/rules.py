"""`/api/v1/cameras/NAME/lines`, `/zones`, `/masks` and `/alerts`: the rules of a camera, one by one.

Points are shares of the picture (0..1), x right, y down, as in the camera's file. What is changed is an
operation of the daemon's, so that it is judged as the file itself would be. Each has an ETag, and a change
with `If-Match` is refused (412) where somebody else has changed the rule meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from pipelines.alerts.rule import AlertSpec
from pipelines.rules import LineSpec, MaskSpec, ZoneSpec
from streamer.api.apply_change import rule_as_data
from streamer.api.http import cameras
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.tokens import Token


class RuleKind:
    """The routes of one kind of rule: `word` is its name in a change, `model` what one holds."""

    def __init__(self, word: str, model: type[BaseModel]) -> None:
        self.word, self.plural, self.model = word, f"{word}s", model

    def list_(self, request: Request, name: str) -> JSONResponse:
        """All of the camera, as its file has them, and the ETag of each by its name."""
        items = self._all(*_asked(request), name)
        etags = {item["name"]: etag(item) for item in items}
        return JSONResponse({self.plural: items, "etags": etags})

    def show(self, request: Request, name: str, rule: str) -> JSONResponse:
        """One of them, as the camera's file has it."""
        item = self._one(*_asked(request), name, rule)
        return JSONResponse(item, headers={"etag": etag(item)})

    async def add(self, request: Request, name: str) -> JSONResponse:
        """Add one. A name that there is already is refused (409)."""
        body = await cameras.read_json(request, ())
        there = await run_sync(self._all, *_asked(request), name)
        if any(body.get("name") == item["name"] for item in there):
            taken = f"camera {name}: {self.word} {body['name']!r} exists: choose another name, or PUT it"
            raise HttpRefusal(409, taken)
        return await self._put(request, name, body, 201, {})

    async def put(self, request: Request, name: str, rule: str) -> JSONResponse:
        """Make it what is sent, whether there was one (200) or not (201)."""
        body = await cameras.read_json(request, ())
        there = await run_sync(self._all, *_asked(request), name)
        before = next((item for item in there if item["name"] == rule), None)
        guard = self._expected(request, rule, before)
        return await self._put(request, name, _named(body, rule), 201 if before is None else 200, guard)

    async def change(self, request: Request, name: str, rule: str) -> JSONResponse:
        """Change the keys that are sent; null is a key's default."""
        body = await cameras.read_json(request, ())
        before = await run_sync(self._one, *_asked(request), name, rule)
        merged = {**before, **_named(body, rule)}
        kept = {key: value for key, value in merged.items() if value is not None}
        return await self._put(request, name, kept, 200, self._expected(request, rule, before))

    async def rename(self, request: Request, name: str, rule: str) -> JSONResponse:
        """Give it the name `to`. What it has counted goes with it."""
        body = await cameras.read_json(request, ("op", "camera", "name", "expected"))
        before = await run_sync(self._one, *_asked(request), name, rule)
        change = {**body, "op": f"{self.word}.rename", "camera": name, "name": rule}
        return await cameras.apply(request, change | self._expected(request, rule, before), 200)

    async def remove(self, request: Request, name: str, rule: str) -> JSONResponse:
        """Remove it. What it has counted stays."""
        before = await run_sync(self._one, *_asked(request), name, rule)
        change = {"op": f"{self.word}.remove", "camera": name, "name": rule}
        return await cameras.apply(request, change | self._expected(request, rule, before), 200)

    async def _put(
        self, request: Request, name: str, rule: dict[str, Any], status: int, guard: dict[str, Any]
    ) -> JSONResponse:
        change = {"op": f"{self.word}.put", "camera": name, self.word: rule, "replace": status == 200}
        return await cameras.apply(request, change | guard, status)

    def _expected(self, request: Request, rule: str, before: dict[str, Any] | None) -> dict[str, Any]:
        """The rule that was seen, for the daemon, which compares when nobody else can change it. Raise
        HttpRefusal where it is another already."""
        wanted = request.headers.get("if-match")
        if wanted is None:
            return {}
        if before is None or (wanted.strip() != "*" and etag(before) not in wanted):
            raise HttpRefusal(412, f"{self.word} {rule[:64]!r} was changed meanwhile: look at it again first")
        return {"expected": before}

    def _all(self, site: Site, token: Token, name: str) -> list[dict[str, Any]]:
        cameras.known(site, token, name)
        camera = site.config.camera(name)
        if camera is None:
            raise HttpRefusal(409, f"camera {name} is misconfigured: mend its file first")
        return [rule_as_data(item) for item in getattr(camera.rules, self.plural)]

    def _one(self, site: Site, token: Token, name: str, rule: str) -> dict[str, Any]:
        there = self._all(site, token, name)
        for item in there:
            if item["name"] == rule:
                return item
        known = ", ".join(item["name"] for item in there) or "there is none"
        raise HttpRefusal(404, f"camera {name}: no {self.word} {rule[:64]!r}; known: {known}")


LINES, ZONES, MASKS = RuleKind("line", LineSpec), RuleKind("zone", ZoneSpec), RuleKind("mask", MaskSpec)
ALERTS = RuleKind("alert", AlertSpec)


def etag(rule: dict[str, Any]) -> str:
    """Of a rule as it is told."""
    return f'"{hashlib.sha256(json.dumps(rule, sort_keys=True).encode()).hexdigest()[:20]}"'


def _asked(request: Request) -> tuple[Site, Token]:
    return request.app.state.site, request.state.token


def _named(body: dict[str, Any], rule: str) -> dict[str, Any]:
    """With the name of its path. Raise HttpRefusal for another one."""
    if body.get("name", rule) != rule:
        raise HttpRefusal(422, f"name: is not {rule[:64]!r}, as the path has it: add it under its new name")
    return {**body, "name": rule}
