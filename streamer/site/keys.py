"""The keys of a site: one token that all boxes of it share, a CA at its head, and a certificate a box.

Ray takes these files as they are (RAY_AUTH_TOKEN_PATH, RAY_TLS_…). They are made by openssl, which every
box has, so that no library is needed for what is done once a box.
"""

from __future__ import annotations

import ipaddress
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from streamer.errors import SiteError
from streamer.site.settings import SiteFolder

TOKEN, REDIS = "token", "redis"
CA, CA_KEY = "ca.crt", "ca.key"
CERTIFICATE, KEY = "node.crt", "node.key"
TOKEN_BYTES = 32
VALID_DAYS = 3650
OPENSSL_TIMEOUT_S = 60.0


def make_site_keys(folder: SiteFolder, site: str) -> None:
    """Token and CA of a new site. Raises SiteError, StorageError."""
    folder.write_key(TOKEN, secrets.token_hex(TOKEN_BYTES))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        made = ["-x509", "-days", str(VALID_DAYS), "-subj", f"/CN=site {site}", *_new_key(place / CA_KEY)]
        usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl("req", *made, *usage, "-out", str(place / CA))
        for file in (CA, CA_KEY):
            folder.write_key(file, (place / file).read_text())


def sign_for(folder: SiteFolder, node: str, address: str) -> tuple[str, str]:
    """(certificate, key) of the box `node` at `address`, as PEM, by the CA in `folder`.

    Raises SiteError, and StorageError where this box has no CA: it is not the head.
    """
    folder.key(CA_KEY)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        request, names = place / "csr", place / "names"
        names.write_text(f"subjectAltName={alternative_names(address)}\n")
        _openssl("req", "-subj", f"/CN={node}", *_new_key(place / KEY), "-out", str(request))
        by = ["-CA", str(folder.keys / CA), "-CAkey", str(folder.keys / CA_KEY)]
        serial = ["-set_serial", f"0x{secrets.token_hex(16)}", "-days", str(VALID_DAYS)]
        signed = place / CERTIFICATE
        _openssl(
            "x509", "-req", "-in", str(request), *by, *serial, "-extfile", str(names), "-out", str(signed)
        )
        return signed.read_text(), (place / KEY).read_text()


def alternative_names(address: str) -> str:
    """What a certificate is good for: the address, and the box itself."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return f"DNS:{address},IP:127.0.0.1,DNS:localhost"
    return f"IP:{address},IP:127.0.0.1,DNS:localhost"


def _new_key(path: Path) -> list[str]:
    return ["-newkey", "rsa:2048", "-noenc", "-keyout", str(path)]


def _openssl(*arguments: str) -> None:
    if shutil.which("openssl") is None:
        raise SiteError("openssl is missing, which makes the site's certificates: run `apt install openssl`")
    done = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, timeout=OPENSSL_TIMEOUT_S, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SiteError(f"openssl {arguments[0]} failed: {last}")
