"""Another user of the machine, for a moment: the kernel says then that it is they who connect. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY, NOGROUP = 65534, 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: takes another user's place")


@contextmanager
def as_other_user(uid: int = NOBODY, gid: int = NOGROUP, *further: int) -> Iterator[None]:
    """This process as `uid`, `gid` and the `further` groups, all of its threads."""
    groups, own = os.getgroups(), os.getegid()
    os.setgroups(list(further))
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own)
        os.setgroups(groups)


def open_to_group(socket: Path, gid: int = NOGROUP) -> None:
    """As the service's installation does: its folder may be entered, its socket is the group's."""
    socket.parent.chmod(0o750)
    os.chown(socket.parent, -1, gid)
    os.chown(socket, -1, gid)
    for folder in list(socket.parents)[1:]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
