"""Who may ask over HTTP: tokens with a role, kept hashed in STATE/tokens.json (0600).

A token is 256 random bits, so that its SHA-256 can be neither guessed nor reversed: what makes the hash of a
password slow would only cost. It is shown once, and nobody can read it back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path

from pydantic import Field, ValidationError

from pipelines.rules import Name
from streamer.api.arguments import Arguments
from streamer.api.callers import ROLES, Role
from streamer.config.validation_errors import explain, show_place
from streamer.errors import ConfigError, StorageError
from streamer.events.cloudevents import rfc3339
from streamer.ipc.atomic_write import Write, locked_folder, write_together
from streamer.ipc.messages import MAX_CAMERAS

TOKENS_FILE = "tokens.json"
MAX_TOKENS = 1000
PREFIX = "streamer_"  # by which a leaked one is recognised
RANDOM_BYTES = 32


class Token(Arguments):
    """What is known of one. `cameras` None: all, also those that come later."""

    name: Name
    role: Role
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    created: str = Field(max_length=40)
    cameras: tuple[Name, ...] | None = Field(default=None, min_length=1, max_length=MAX_CAMERAS)

    def holds(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, camera: str) -> bool:
        return self.cameras is None or camera in self.cameras

    def renamed(self, camera: str, new: str) -> Token:
        """The same for a camera that is called `new` now."""
        if self.cameras is None or camera not in self.cameras:
            return self
        names = dict.fromkeys(new if name == camera else name for name in self.cameras)
        return self.model_copy(update={"cameras": tuple(names)})


class _Document(Arguments):
    tokens: tuple[Token, ...] = Field(max_length=MAX_TOKENS)


class TokenStore:
    """The file. Reads it anew when it has changed, so that a token that was removed opens nothing more."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / TOKENS_FILE
        self._read: tuple[tuple[int, ...], tuple[Token, ...]] | None = None

    def tokens(self) -> tuple[Token, ...]:
        """All, by name. Raise StorageError for a file that cannot be read or used."""
        try:
            status = self.path.stat()
            signature = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self._read is None or self._read[0] != signature:
                self._read = signature, self._parse(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise StorageError(f"{self.path}: cannot be read: {why}") from error
        return self._read[1]

    def _parse(self, text: str) -> tuple[Token, ...]:
        try:
            return _Document.model_validate_json(text).tokens
        except ValidationError as error:
            place, what = explain(error, _Document)
            where = f"{show_place(place)}: " if place else ""
            raise StorageError(
                f"{self.path}: {where}{what}: move it away, and make the tokens anew"
            ) from None

    def find(self, secret: str) -> Token | None:
        """The token whose text `secret` is. How long it takes says nothing of how near another one was.

        Raise StorageError.
        """
        digest = _digest(secret)
        found = None
        for token in self.tokens():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def add(self, name: str, role: Role, cameras: tuple[str, ...] | None = None) -> str:
        """Make one; returns its text, which is kept nowhere. Raise ConfigError, StorageError."""
        secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        fields = {
            "name": name,
            "role": role,
            "cameras": cameras,
            "created": rfc3339(time.time_ns())[:19] + "Z",
        }
        try:
            token = Token.model_validate({**fields, "sha256": _digest(secret)})
        except ValidationError as error:
            place, what = explain(error, Token)
            raise ConfigError(f"{show_place(place)}: {what}") from None
        with locked_folder(self.path.parent, 0o700):
            before = self.tokens()
            if any(other.name == name for other in before):
                raise ConfigError(f"token {name!r} exists: choose another name, or remove it first")
            if len(before) >= MAX_TOKENS:
                raise ConfigError(f"there are {MAX_TOKENS} tokens, and no more are kept: remove one first")
            self._write((*before, token))
        return secret

    def remove(self, name: str) -> None:
        """It opens nothing from now on. Raise ConfigError, StorageError."""
        with locked_folder(self.path.parent, 0o700):
            before = self.tokens()
            remaining = tuple(token for token in before if token.name != name)
            if len(remaining) == len(before):
                known = ", ".join(token.name for token in before) or "there is none"
                raise ConfigError(f"no token {name[:64]!r}; known: {known}")
            self._write(remaining)

    def writes_for_rename(self, camera: str, new: str) -> list[Write]:
        """What lets tokens for `camera` be for `new` instead; none where no token is for it alone. For who
        holds the folder (locked_folder). Raise StorageError."""
        before = self.tokens()
        after = tuple(token.renamed(camera, new) for token in before)
        return [] if after == before else [self._as_write(after)]

    def _write(self, tokens: tuple[Token, ...]) -> None:
        write_together([self._as_write(tokens)])

    def _as_write(self, tokens: tuple[Token, ...]) -> Write:
        ordered = sorted(tokens, key=lambda token: token.name)
        document = _Document(tokens=tuple(ordered)).model_dump(mode="json", exclude_none=True)
        return Write(self.path, json.dumps(document, indent=1) + "\n", 0o600)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
