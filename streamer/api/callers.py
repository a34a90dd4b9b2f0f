"""Who asks on the control socket, and what they may ask for: the kernel says who, the configuration what.

A role holds the ones below it. What only shows how things stand is a viewer's; what changes cameras an
operator's; what reads pictures, or changes files other than the cameras', an admin's. Root and the daemon's
own user are admins whatever the configuration says: they can read and write its files anyway.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from streamer.errors import ControlError

if TYPE_CHECKING:  # the whole configuration's model, which who only asks does not need
    from streamer.config.schema import ControlConfig

Role = Literal["viewer", "operator", "admin"]  # each may do what the ones before it may
ROLES: tuple[Role, ...] = get_args(Role)
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SO_PEERGROUPS = 59  # Linux 4.13
_MAX_GROUPS_BYTES = 1024  # as much as Python asks the kernel for: 256 groups


@dataclass(frozen=True, slots=True)
class Caller:
    """A process at the other end, as it was when it connected. `groups` hold its own and its further ones;
    `owners` are the users whose the daemon is, None: this process is the daemon.

    With `at_most` it asks for somebody else, `behalf`, who has that role at most and owns nothing here.
    """

    uid: int
    groups: frozenset[int] = frozenset()
    owners: frozenset[int] | None = None
    at_most: Role | None = None
    behalf: str = ""

    def lowered(self, role: Role, behalf: str) -> Caller:
        """The same process, asking for somebody with no more than `role`."""
        return replace(self, at_most=role, behalf=behalf)

    @property
    def owns_the_daemon(self) -> bool:
        """Whether it could change the daemon's files, and itself open what the daemon can."""
        return self.at_most is None and self._is_owner

    @property
    def _is_owner(self) -> bool:
        owners = frozenset((os.geteuid(),)) if self.owners is None else self.owners
        return self.uid == 0 or self.uid in owners

    @property
    def name(self) -> str:
        """For people: whom it asks for, else the user's name, else the number."""
        if self.at_most is not None:
            return self.behalf
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


def caller_of(connection: socket.socket) -> Caller:
    """Who connected. Raise OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(raw)
    return Caller(uid, frozenset((gid, *_further_groups(connection, uid, gid))))


def this_user(owned: Iterable[Path]) -> Caller:
    """Who runs this command; the daemon's user is who owns one of the paths `owned` that are there."""
    owners: set[int] = set()
    for path in owned:
        with suppress(OSError):  # not there, or not to be looked at: then it is not this user's
            owners.add(path.stat().st_uid)
    return Caller(os.geteuid(), frozenset((os.getegid(), *os.getgroups())), frozenset(owners))


def _further_groups(connection: socket.socket, uid: int, gid: int) -> Sequence[int]:
    """As the process has them; by the user's name where the kernel does not say, or has too many to say."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_BYTES)
    except OSError:
        try:
            return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


def role_of(caller: Caller, control: ControlConfig) -> Role | None:
    """The highest that the caller has, and no higher than whom it asks for; None: none at all."""
    role = _own_role(caller, control)
    return role if role is None or caller.at_most is None else min(role, caller.at_most, key=ROLES.index)


def _own_role(caller: Caller, control: ControlConfig) -> Role | None:
    if control.roles is None or caller._is_owner:
        return "admin"
    for role in reversed(ROLES):
        if any(_is(caller, name) for name in getattr(control.roles, role)):
            return role
    return None


def check_role(caller: Caller, needed: Role, control: ControlConfig, what: str) -> None:
    """Raise ControlError unless the caller's role holds `needed`."""
    role = role_of(caller, control)
    if role is not None and ROLES.index(role) >= ROLES.index(needed):
        return
    has = f"has the role {role}" if role else "has no role"
    if caller.at_most is not None:
        raise ControlError(f"{what} needs the role {needed}, and {caller.name} {has}")
    raise ControlError(
        f"{what} needs the role {needed}, and {caller.name} {has}: root gives it by naming the user, "
        f"or @GROUP, in control.roles.{needed} of streamer.yaml (and `systemctl reload streamer`)"
    )


def _is(caller: Caller, name: str) -> bool:
    """Whether it is the user of this name, or in the group with an @ before its own."""
    try:
        if name.startswith("@"):
            return grp.getgrnam(name[1:]).gr_gid in caller.groups
        return pwd.getpwnam(name).pw_uid == caller.uid
    except KeyError:
        return False
