"""Logging in over HTTP: Basic (RFC 7617) and Digest (RFC 7616; MD5 and SHA-256, with and without -sess)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

_CHALLENGE = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z_-]+\s*=|\s*$|\s*,)")
_PARAMETER = re.compile(r'([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_HASHES = {"SHA-256": "sha256", "MD5": "md5"}  # the better first


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for. `scheme` is in lower case, `digest` the hash's name in hashlib where it is one
    of ours."""

    scheme: str
    parameters: dict[str, str]
    digest: str = ""

    @property
    def rank(self) -> int:
        """Which of several is answered: the highest; 0: none of ours."""
        return {"sha256": 3, "md5": 2}.get(self.digest, 1 if self.scheme == "basic" else 0)

    @property
    def name(self) -> str:
        algorithm = self.parameters.get("algorithm", "")
        return f"{self.scheme[:40].capitalize()} {algorithm[:40]}".rstrip()


def challenges(headers: list[str]) -> list[Challenge]:
    """Of the WWW-Authenticate headers of an answer, the best first."""
    found = [each for header in headers for each in _in_header(header)]
    return sorted(found, key=lambda each: each.rank, reverse=True)


def _in_header(header: str) -> list[Challenge]:
    starts = list(_CHALLENGE.finditer(header))
    ends = [match.start() for match in starts[1:]] + [len(header)]
    return [
        _challenge(match[1].lower(), header[match.end() : end])
        for match, end in zip(starts, ends, strict=True)
    ]


def _challenge(scheme: str, rest: str) -> Challenge:
    parameters = {m[1].lower(): (m[2] if m[2] is not None else m[3]) for m in _PARAMETER.finditer(rest)}
    if scheme != "digest":
        return Challenge(scheme, parameters)
    algorithm = parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")
    return Challenge(scheme, parameters, _HASHES.get(algorithm, ""))


class Login:
    """One user at one server. `answer()` is the Authorization header of a GET, "" while nothing was asked."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._challenge: Challenge | None = None
        self._count = 0

    @property
    def asked(self) -> bool:
        return self._challenge is not None

    def take(self, challenge: Challenge) -> None:
        """Answer this one from now on."""
        self._challenge, self._count = challenge, 0

    def answer(self, target: str) -> str:
        """For a GET of `target`, the path with its query."""
        if self._challenge is None:
            return ""
        if self._challenge.scheme == "basic":
            both = f"{self._user}:{self._password}".encode()
            return "Basic " + base64.b64encode(both).decode()
        self._count += 1
        return self._digest(self._challenge, target)

    def _digest(self, challenge: Challenge, target: str) -> str:
        asked = challenge.parameters
        realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
        count, own = f"{self._count:08x}", secrets.token_hex(8)

        def hashed(*parts: str) -> str:
            return hashlib.new(challenge.digest, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

        secret = hashed(self._user, realm, self._password)
        if asked.get("algorithm", "").upper().endswith("-SESS"):
            secret = hashed(secret, nonce, own)
        qop = "auth" if "auth" in re.split(r"[\s,]+", asked.get("qop", "")) else ""
        middle = (nonce, count, own, qop) if qop else (nonce,)
        said = {
            "username": self._user,
            "realm": realm,
            "nonce": nonce,
            "uri": target,
            "response": hashed(secret, *middle, hashed("GET", target)),
        }
        if "opaque" in asked:
            said["opaque"] = asked["opaque"]
        if qop or asked.get("algorithm", "").upper().endswith("-SESS"):
            said["cnonce"] = own
        words = [f'{key}="{_quoted(value)}"' for key, value in said.items()]
        words += [f"algorithm={asked['algorithm']}"] if "algorithm" in asked else []
        words += [f"qop={qop}", f"nc={count}"] if qop else []
        return "Digest " + ", ".join(words)


def _quoted(value: str) -> str:
    """What was quoted in the challenge comes back as it was; only a user name can hold more."""
    return value if "\\" in value else value.replace('"', '\\"')
