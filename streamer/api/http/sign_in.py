"""`/api/v1/session`: a person signs in to the page with a token or a link, sees as whom, and signs out."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import JSONResponse, Response

from streamer.api.http.cameras import read_json
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.site import Site
from streamer.api.sessions import MAX_AGE_S, csrf_of
from streamer.api.tokens import Token

MAX_FAILURES = 10  # of one address within WINDOW_S; then none is looked at for the rest of it
WINDOW_S = 60.0
MAX_ADDRESSES = 1000  # that are remembered
MAX_SECRET = 256  # characters
WAYS = ("token", "link")


class Failures:
    """Sign-ins that failed, by address. A token cannot be guessed: this keeps attempts cheap, and seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise HttpRefusal where there were too many."""
        times = self._by.get(address, deque())
        while times and self._clock() - times[0] > WINDOW_S:
            times.popleft()
        if len(times) >= MAX_FAILURES:
            raise HttpRefusal(
                429, f"{MAX_FAILURES} sign-ins failed: wait a minute, and try again", retry_after_s=60
            )

    def add(self, address: str) -> None:
        self._by.setdefault(address, deque(maxlen=MAX_FAILURES)).append(self._clock())
        self._by.move_to_end(address)
        while len(self._by) > MAX_ADDRESSES:
            self._by.popitem(last=False)


async def sign_in(request: Request) -> Response:
    """Sign in with a `token`, or with the code of a `link` that was made for this: answered with a cookie."""
    site: Site = request.app.state.site
    failures: Failures = request.app.state.failures
    address = request.client.host if request.client else ""
    failures.check(address)
    way, secret = _given(await read_json(request))
    token = await run_sync(_token, site, way, secret)
    if token is None:
        failures.add(address)
        raise HttpRefusal(401, _NO[way])
    started = await run_sync(site.sessions.start, token)
    response = JSONResponse(_document(site, token, started), 201, {"cache-control": "no-store"})
    response.set_cookie(
        site.cookie, started, int(MAX_AGE_S), path="/", secure=site.secure, httponly=True, samesite="strict"
    )
    return response


_NO = {
    "token": "no such token: it was removed, or is not of this box",
    "link": "this link was used, or its time is over: ask for a new one",
}


def session(request: Request) -> JSONResponse:
    """Who asks, and what they may; `csrf` is what a change from the page must send in X-CSRF-Token."""
    site: Site = request.app.state.site
    secret = getattr(request.state, "session_id", None)
    document = _document(site, request.state.token, secret)
    return JSONResponse(document, headers={"cache-control": "no-store"})


def sign_out(request: Request) -> Response:
    """End the session; a token goes on."""
    site: Site = request.app.state.site
    found = getattr(request.state, "session", None)
    if found is None:
        raise HttpRefusal(409, "a token has no session to end: `streamer token remove` takes it away")
    site.sessions.end(found)
    response = JSONResponse({"status": "signed out"})
    response.delete_cookie(site.cookie, path="/", secure=site.secure, httponly=True, samesite="strict")
    return response


def _given(body: dict[str, Any]) -> tuple[str, str]:
    """Raise HttpRefusal unless it is one of the two ways."""
    if len(body) != 1 or (way := next(iter(body))) not in WAYS:
        raise HttpRefusal(422, "send either `token` or `link`, and nothing else")
    secret = body[way]
    if not isinstance(secret, str) or not 0 < len(secret.strip()) <= MAX_SECRET:
        raise HttpRefusal(422, f"{way}: is no text of up to {MAX_SECRET} characters")
    return way, secret.strip()


def _token(site: Site, way: str, secret: str) -> Token | None:
    return site.tokens.find(secret) if way == "token" else site.links.use(secret, site.tokens)


def _document(site: Site, token: Token, secret: str | None) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role,
        "cameras": None if token.cameras is None else list(token.cameras),
        "csrf": None if secret is None else csrf_of(secret),
        "pictures": token.holds("admin") and site.config.privacy.people == "show",
        "people": site.config.privacy.people,
        "timezone": site.config.timezone,
        "box": site.config.display_name or site.node[:8],
    }
