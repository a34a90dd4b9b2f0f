"""onvif:// where a command takes an address: the device is asked once, and its rtsp:// address taken."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click

from streamer.errors import ConfigError, one_line
from streamer.sources.limits import SourceLimits
from streamer.sources.onvif.lookup import Found, look_up, read_login


def read_password(stdin: bool) -> str | None:
    """The first line of standard input, all of it but the line's end; None where it is not to be read."""
    if not stdin:
        return None
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigError("the password on standard input is not UTF-8 text") from error


def ask_device(
    url: str, user: str | None, password: str | None, limits: SourceLimits, width: int, ca: str
) -> Found:
    """What the device at the onvif:// address says of its stream for a picture `width` pixels wide. `url` may
    hold credentials; `ca` as in sources/tls.py. Raises ConfigError, SourceError."""
    clean, login = read_login(url, user, password)
    return look_up(clean, login, limits, width, ca)


def print_device(found: Found) -> None:
    """What it is, and which of its profiles is taken."""
    what = found.information
    clock = f", its clock {found.clock_ahead_s:+.0f} s" if abs(found.clock_ahead_s) >= 1 else ""
    click.echo(one_line(f"onvif  {what.maker} {what.model}, firmware {what.firmware}{clock}"))
    click.echo(f"       takes profile {found.profile}: {found.url}")
    for other in found.profiles:
        if other is not found.profile:
            click.echo(f"       not {other}")
    for note in found.notes:
        click.echo(f"note: {note}")


def as_data(found: Found) -> dict[str, Any]:
    """As JSON has it."""
    return dataclasses.asdict(found)
