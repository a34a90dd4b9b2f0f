"""Certificates for tests, made by openssl: a CA, and what it signs, good until 2049 or expired in 2021."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import missing_part

_CONFIG = """
[ca]
default_ca = own
[own]
dir = {folder}
database = $dir/index.txt
new_certs_dir = $dir
certificate = $dir/ca.crt
private_key = $dir/ca.key
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = {names}
"""


class Authority:
    """A CA with a folder of its own. `ca` is what trusts it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        (folder / "index.txt").touch()
        self.ca = folder / "ca.crt"
        self._configure("DNS:none.invalid")
        made = ["-x509", "-days", "3650", "-subj", "/CN=a CA for tests", "-extensions", "authority"]
        self._openssl("req", *made, *self._new_key("ca"), "-out", "ca.crt")

    def sign(
        self, name: str, names: str, *, expired: bool = False, key_password: str = ""
    ) -> tuple[Path, Path]:
        """(certificate, key) for `names`, such as "IP:127.0.0.1,DNS:gate.example"."""
        self._configure(names)
        self._openssl(
            "req", "-new", "-subj", f"/CN={name}", *self._new_key(name, key_password), "-out", f"{name}.csr"
        )
        ends = "20210101000000Z" if expired else "20491231000000Z"
        dates = ["-startdate", "20200101000000Z", "-enddate", ends]
        self._openssl("ca", "-batch", "-notext", "-extensions", "leaf", *dates,
                      "-in", f"{name}.csr", "-out", f"{name}.crt")  # fmt: skip
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"

    def _new_key(self, name: str, password: str = "") -> list[str]:
        locked = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", f"{name}.key", *locked]

    def _configure(self, names: str) -> None:
        (self._folder / "openssl.cnf").write_text(_CONFIG.format(folder=self._folder, names=names))

    def _openssl(self, command: str, *words: str) -> None:
        program = shutil.which("openssl") or missing_part("openssl (Debian package openssl)")
        done = subprocess.run(
            [program, command, "-config", "openssl.cnf", *words],
            cwd=self._folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
