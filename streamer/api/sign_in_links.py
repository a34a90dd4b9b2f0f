"""Links that sign a person in once, without a token that somebody has to copy: kept hashed in
STATE/sign-in-links.json (0600) until they are used, and for a few minutes at most.

The code stands behind the `#` of the address, which a browser sends to nobody: no log, proxy or preview of a
messenger has it, and it is used when the person presses the button.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError

from streamer.api.arguments import Arguments
from streamer.api.sessions import StandsForToken, digest
from streamer.api.tokens import Token, TokenStore
from streamer.errors import ConfigError, StorageError
from streamer.ipc.atomic_write import locked_folder, write_atomically

LINKS_FILE = "sign-in-links.json"
MAX_LINKS = 100
VALID_S = 600.0
RANDOM_BYTES = 32


class Link(StandsForToken):
    until_s: float


class _Document(Arguments):
    links: tuple[Link, ...] = Field(max_length=MAX_LINKS)


class LinkStore:
    """The file, which the command line adds to and the API worker takes from."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = state_dir / LINKS_FILE
        self._clock = clock

    def add(self, token: Token) -> str:
        """A code that signs in once as who has `token`. Raise ConfigError, StorageError."""
        code = secrets.token_urlsafe(RANDOM_BYTES)
        until_s = self._clock() + VALID_S
        link = Link(sha256=digest(code), token=token.name, token_sha256=token.sha256, until_s=until_s)
        with locked_folder(self.path.parent, 0o700):
            links = self._valid()
            if len(links) >= MAX_LINKS:
                raise ConfigError(
                    f"there are {MAX_LINKS} sign-in links that nobody has used: wait {VALID_S / 60:g} minutes"
                )
            self._write((*links, link))
        return code

    def use(self, code: str, tokens: TokenStore) -> Token | None:
        """Whom it signs in: it is used up by that, also where its token is gone. Raise StorageError."""
        wanted = digest(code)
        with locked_folder(self.path.parent, 0o700):
            links = self._valid()
            link = next((one for one in links if one.sha256 == wanted), None)
            if link is None:
                return None
            self._write(tuple(one for one in links if one is not link))
        return link.token_of(tokens)

    def _valid(self) -> tuple[Link, ...]:
        now_s = self._clock()
        try:
            links = _Document.model_validate_json(self.path.read_bytes()).links
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {error.strerror}") from error
        except ValidationError:
            raise StorageError(f"{self.path}: holds no sign-in links: remove it") from None
        return tuple(link for link in links if now_s < link.until_s <= now_s + VALID_S + 60)

    def _write(self, links: tuple[Link, ...]) -> None:
        document = _Document(links=links).model_dump(mode="json")
        write_atomically(self.path, json.dumps(document, indent=1) + "\n", 0o600)
