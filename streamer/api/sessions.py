"""Who is signed in to the page: sessions that stand for a token, kept hashed in STATE/sessions.json (0600),
so that a restart signs nobody out.

A session's id is 256 random bits in a cookie that no script reads. It ends by itself, when it was not used
for long, when its token is removed, and by signing out. What proves that a change comes from the page (CSRF)
is derived from the id, which a page elsewhere can send but not read.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError

from pipelines.rules import Name
from streamer.api.arguments import Arguments
from streamer.api.tokens import Token, TokenStore
from streamer.errors import StorageError
from streamer.ipc.atomic_write import write_atomically

log = logging.getLogger(__name__)

SESSIONS_FILE = "sessions.json"
MAX_SESSIONS = 500  # the one that was unused for longest makes room
MAX_AGE_S = 14 * 86400.0
MAX_IDLE_S = 3 * 86400.0  # over a weekend
SAVE_EVERY_S = 300.0  # what is lost of it by a crash is when a session was last used
RANDOM_BYTES = 32
_SHA256 = r"^[0-9a-f]{64}$"


class StandsForToken(Arguments):
    """`sha256` is of the secret that somebody has, `token_sha256` of the token that it stands for."""

    sha256: str = Field(pattern=_SHA256, repr=False)
    token: Name
    token_sha256: str = Field(pattern=_SHA256, repr=False)

    def stands_for(self, token: Token) -> bool:
        return token.name == self.token and token.sha256 == self.token_sha256

    def token_of(self, tokens: TokenStore) -> Token | None:
        """The token that this stands for, while there is one. Raise StorageError."""
        return next((token for token in tokens.tokens() if self.stands_for(token)), None)


class Session(StandsForToken):
    """The secret is its id. Times are Unix time."""

    created_s: float
    used_s: float

    def over(self, now_s: float) -> bool:
        return not (self.created_s <= now_s + 60 and now_s < self.ends_s)

    @property
    def ends_s(self) -> float:
        return min(self.created_s + MAX_AGE_S, self.used_s + MAX_IDLE_S)


class _Document(Arguments):
    sessions: tuple[Session, ...] = Field(max_length=MAX_SESSIONS)


class SessionStore:
    """All of one daemon. Only the API worker writes the file; any thread may ask."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = state_dir / SESSIONS_FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] | None = None
        self._saved_s, self._changed = clock(), False

    def start(self, token: Token) -> str:
        """Sign somebody in; returns the session's id, which is kept nowhere."""
        secret, now_s = secrets.token_urlsafe(RANDOM_BYTES), self._clock()
        session = Session(
            sha256=digest(secret),
            token=token.name,
            token_sha256=token.sha256,
            created_s=now_s,
            used_s=now_s,
        )
        with self._lock:
            sessions = self._current()
            while len(sessions) >= MAX_SESSIONS:
                del sessions[min(sessions.values(), key=lambda one: one.used_s).sha256]
            sessions[session.sha256] = session
            self._save()
        return secret

    def find(self, secret: str) -> Session | None:
        """The session of this id, which is used by that."""
        now_s = self._clock()
        with self._lock:
            session = self._current().get(digest(secret))
            if session is None or session.over(now_s):
                return None
            used = session.model_copy(update={"used_s": now_s})
            self._current()[used.sha256] = used
            self._changed = True
            return used

    def holds(self, session: Session) -> bool:
        """Whether it has not ended; what asks goes on using it."""
        with self._lock:
            found = self._current().get(session.sha256)
            return found is not None and not found.over(self._clock())

    def end(self, session: Session) -> None:
        with self._lock:
            if self._current().pop(session.sha256, None) is not None:
                self._save()

    def save_if_due(self) -> None:
        """Call it now and then, outside the server's loop."""
        with self._lock:
            if self._changed and abs(self._clock() - self._saved_s) >= SAVE_EVERY_S:
                self._save()

    def _current(self) -> dict[str, Session]:
        if self._sessions is None:
            self._sessions = {session.sha256: session for session in self._read()}
        return self._sessions

    def _read(self) -> tuple[Session, ...]:
        """A file that cannot be used signs everybody out, and is said: nobody is kept from signing in."""
        try:
            return _Document.model_validate_json(self.path.read_bytes()).sessions
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "it holds no sessions"
            log.warning("%s cannot be read: %s; everybody signs in again", self.path, why)
            return ()

    def _save(self) -> None:
        now_s = self._clock()
        self._sessions = {key: s for key, s in self._current().items() if not s.over(now_s)}
        self._saved_s, self._changed = now_s, False
        document = _Document(sessions=tuple(self._sessions.values()))
        try:
            write_atomically(self.path, document.model_dump_json(indent=1) + "\n", 0o600)
        except StorageError as error:  # they hold until the next restart
            log.warning("%s; sessions end with the next restart", error)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def csrf_of(secret: str) -> str:
    """What a change must send in a header beside the cookie `secret`."""
    return hmac.new(secret.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()
