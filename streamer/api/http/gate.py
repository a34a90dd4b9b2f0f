"""What every request passes before it is read: the name it was sent to, the page it comes from, its token,
and how much it holds. A refusal costs nothing that could be counted: the body is neither read nor kept.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from streamer.api.http import problems
from streamer.api.http.connection import MAX_HEAD
from streamer.api.http.problems import HttpRefusal
from streamer.api.http.rates import Rate
from streamer.api.http.site import Site
from streamer.api.sessions import csrf_of
from streamer.api.tokens import Token
from streamer.errors import StreamerError

OPEN_PATHS = ("/livez", "/readyz", "/")  # for who has no token: two words, and nothing of what is watched
OPEN_FOLDER = "/page/"  # the page's files
SIGN_IN = "/api/v1/session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_BODY = 1 << 20  # bytes
TOKEN_PER_S, TOKEN_BURST = 30.0, 300  # requests: a page that drags a line asks ten times a second
ADDRESS_PER_S, ADDRESS_BURST = 60.0, 600  # a proxy's address is that of all behind it
BODY_TIMEOUT_S = 10.0  # for a body to come
LINGER_S, MAX_LINGER = (
    2.0,
    16 << 20,
)  # what is thrown away of a body that is refused, so that the answer is read

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Gate:
    """An ASGI application before `app`. `answers` counts by status."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], site: Site) -> None:
        self._app, self._site = app, site
        self._addresses = Rate("address", ADDRESS_PER_S, ADDRESS_BURST)
        self._tokens = Rate("token", TOKEN_PER_S, TOKEN_BURST)
        self.answers: Counter[int] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers[message["status"]] += 1
            await send(message)

        headers = _Headers(scope["headers"])
        try:
            self._admit(scope, headers)
            body = await _read(receive, headers) if headers.has_body else b""
        except StreamerError as error:
            await _refuse(error, headers.has_body, receive, counted)
            return
        await self._app(scope, _Given(body, receive), counted)

    def _admit(self, scope: Message, headers: _Headers) -> None:
        """Raise HttpRefusal, StorageError. What is let in has its token in its state."""
        if headers.size + len(scope["raw_path"]) + len(scope["query_string"]) > MAX_HEAD:
            raise HttpRefusal(431, f"a request's line and headers may hold {MAX_HEAD >> 10} KiB")
        host = self._check_host(headers)
        if not _follows_a_link(scope, headers):
            _check_origin(headers, host)
        if _is_open(scope["method"], scope["path"]):
            return
        now_s = time.monotonic()
        if scope.get("client"):  # none over a UNIX socket
            self._addresses.take(scope["client"][0], now_s)
        who = self._who(scope["method"], headers)
        self._tokens.take(who["token"].name, now_s)
        scope["state"].update(who)

    def _check_host(self, headers: _Headers) -> str:
        """A page whose name was made to lead here (DNS rebinding) asks under its own name."""
        given = headers.all(b"host")
        name = _name_of(given[0]) if len(given) == 1 else ""
        if name not in self._site.hosts:
            raise HttpRefusal(
                421,
                f"{name[:80]!r} is no name of this box: ask under another, or add it to api.hosts of "
                "streamer.yaml",
            )
        return given[0].lower()

    def _who(self, method: str, headers: _Headers) -> dict[str, Any]:
        """The token that was sent, or for which a session stands."""
        if headers.all(b"authorization"):
            return {"token": self._token(headers)}
        secret = headers.cookie(self._site.cookie)
        if secret is None:
            return {"token": self._token(headers)}  # which says how to ask
        session = self._site.sessions.find(secret)
        token = None if session is None else session.token_of(self._site.tokens)
        if token is None:
            raise HttpRefusal(401, "this session has ended: sign in again")
        if method not in SAFE_METHODS:
            _check_csrf(headers, secret)
        return {"token": token, "session": session, "session_id": secret}

    def _token(self, headers: _Headers) -> Token:
        given = headers.all(b"authorization")
        scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not secret.strip():
            raise HttpRefusal(
                401, "send a token as `Authorization: Bearer TOKEN`: `streamer token add` makes one"
            )
        token = self._site.tokens.find(secret.strip())
        if token is None:
            raise HttpRefusal(
                401, "no such token: it was removed, or is not of this box (`streamer token list`)"
            )
        return token


class _Headers:
    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1").strip() for key, value in self._pairs if key == name]

    def cookie(self, name: str) -> str | None:
        """The first of this name that was sent."""
        for pair in "; ".join(self.all(b"cookie")).split(";"):
            key, equals, value = pair.strip().partition("=")
            if equals and key == name:
                return value
        return None

    @property
    def size(self) -> int:
        return sum(len(name) + len(value) for name, value in self._pairs)

    @property
    def length(self) -> int:
        return int((self.all(b"content-length") or ["0"])[0])

    @property
    def has_body(self) -> bool:
        return bool(self.length or self.all(b"transfer-encoding"))


def _name_of(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; "" for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_open(method: str, path: str) -> bool:
    """Whether it is for everybody: the probes, the page's files, and signing in."""
    if method in ("GET", "HEAD"):
        return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
    return (method, path) == ("POST", SIGN_IN)


def _follows_a_link(scope: Message, headers: _Headers) -> bool:
    """Whether somebody opens the page from elsewhere, such as from a mail. It holds nothing, lets nobody
    frame it, and its cookie is not sent with this.
    """
    asked = [headers.all(b"sec-fetch-mode"), headers.all(b"sec-fetch-dest"), headers.all(b"origin")]
    return (scope["method"], scope["path"]) == ("GET", "/") and asked == [["navigate"], ["document"], []]


def _check_csrf(headers: _Headers, secret: str) -> None:
    """Raise HttpRefusal for a change that a cookie alone vouches for, which a browser sends unasked."""
    given = headers.all(b"x-csrf-token")
    if len(given) != 1 or not hmac.compare_digest(given[0].encode(), csrf_of(secret).encode()):
        raise HttpRefusal(403, "a change with a cookie needs X-CSRF-Token, which /api/v1/session has")


def _check_origin(headers: _Headers, host: str) -> None:
    """A browser says which page asks: none but our own may. There is no CORS."""
    for origin in headers.all(b"origin"):
        scheme, _, authority = origin.lower().partition("://")
        if scheme not in ("http", "https") or authority != host:
            raise HttpRefusal(403, f"a page of {origin[:80]!r} may not ask here")
    if headers.all(b"sec-fetch-site") not in ([], ["same-origin"], ["none"]):
        raise HttpRefusal(403, "a page of another site may not ask here")


async def _read(receive: Receive, headers: _Headers) -> bytes:
    """The whole body. Raise HttpRefusal for one that is too large or too slow."""
    if headers.length > MAX_BODY:
        raise _too_large()
    try:
        return await asyncio.wait_for(_read_bounded(receive), BODY_TIMEOUT_S)
    except TimeoutError:
        raise HttpRefusal(408, f"a request's body must come within {BODY_TIMEOUT_S:g} s") from None


async def _read_bounded(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpRefusal(400, "the connection ended before the body was complete")
        body += message["body"]
        if len(body) > MAX_BODY:
            raise _too_large()
        if not message["more_body"]:
            return bytes(body)


def _too_large() -> HttpRefusal:
    return HttpRefusal(413, f"a request's body may hold {MAX_BODY >> 20} MiB")


async def _refuse(error: StreamerError, unread: bool, receive: Receive, send: Send) -> None:
    body = problems.document(error)
    headers = problems.headers(error, body)
    if unread:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": problems.status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": unread})
    if unread:
        await _throw_away(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _throw_away(receive: Receive) -> None:
    """What still comes, for a moment: a connection that is closed on unread data takes the answer with it."""
    left = MAX_LINGER
    try:
        async with asyncio.timeout(LINGER_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
    except TimeoutError:
        return


class _Given:
    """`receive` for what has its whole body: gives it once, then waits for the end of the connection."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
