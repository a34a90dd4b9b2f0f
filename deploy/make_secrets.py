#!/usr/bin/env python3
"""`python3 deploy/make_secrets.py` writes what deploy/compose.yaml takes as secrets, with new passwords.

What is there stays. The folder is closed to others (0700); the files in it are readable, since each container
sees its own alone, as a user of its own.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sys
from pathlib import Path

WRITER = "+evalsha +script|load +type +exists +xinfo|stream +xadd +hset +hdel +hkeys +del"
READER = "+hgetall +xread +xrevrange"
MOSQUITTO_ROUNDS = 101


def main(folder: Path) -> int:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if (folder / "streamer.secrets").exists():
        print(f"{folder}: has its secrets; remove the folder for new ones")
        return 0
    redis, mqtt, grafana = (secrets.token_urlsafe(24) for _ in range(3))
    files = {
        "redis_users": f"user default off\nuser streamer on >{redis} ~streamer:* -@all {WRITER} {READER}\n",
        "mosquitto_passwords": f"streamer:{mosquitto_hash(mqtt, secrets.token_bytes(12))}\n",
        "grafana_password": grafana,
        "prometheus_token": "",
        "streamer.secrets": "sinks:\n"
        f"  redis: {{username: streamer, password: {redis!r}}}\n"
        f"  mqtt: {{username: streamer, password: {mqtt!r}}}\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    print(f"{folder}: {', '.join(files)}")
    return 0


def mosquitto_hash(password: str, salt: bytes) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, MOSQUITTO_ROUNDS)
    shown = (base64.b64encode(part).decode() for part in (salt, key))
    return "$7$" + "$".join((str(MOSQUITTO_ROUNDS), *shown))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "secrets"))
