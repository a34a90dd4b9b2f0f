"""Who asks on the control socket, as the kernel says it, and what they may ask for."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.api import control_socket as control
from streamer.api.callers import ROLES, Caller, Role, caller_of, check_role, role_of
from streamer.config.schema import ControlConfig
from streamer.daemon.operations import OPERATIONS, lookup
from streamer.errors import ControlError
from tests.daemon import Daemon
from tests.other_user import NOBODY, NOGROUP, as_other_user, needs_root, open_to_group
from tests.patience import patient

OTHER = Caller(54321, frozenset({54321}))  # no user of this machine
GROUP = grp.getgrgid(os.getegid()).gr_name
IN_GROUP = Caller(54321, frozenset({54321, os.getegid()}))


def roles(**names: list[str]) -> ControlConfig:
    return ControlConfig.model_validate({"roles": names})


def test_without_roles_who_may_open_the_socket_may_ask_for_everything() -> None:
    assert role_of(OTHER, ControlConfig()) == "admin"


def test_root_and_the_daemon_s_user_are_admins_whatever_is_configured() -> None:
    nobody = roles(operator=[])
    assert role_of(Caller(0), nobody) == "admin"
    assert role_of(Caller(os.geteuid()), nobody) == "admin"
    assert role_of(OTHER, nobody) is None


def test_a_further_group_gives_its_role_and_the_highest_counts() -> None:
    both = roles(viewer=[f"@{GROUP}"], operator=[f"@{GROUP}"])
    assert role_of(IN_GROUP, both) == "operator"
    assert role_of(OTHER, both) is None
    assert role_of(IN_GROUP, roles(operator=[], viewer=[f"@{GROUP}"])) == "viewer"
    assert role_of(IN_GROUP, roles(operator=[GROUP])) is None, "a user's name is no group's"


def test_a_name_that_nobody_has_is_nobody() -> None:
    assert role_of(OTHER, roles(admin=["no-such-user", "@no-such-group"])) is None


def test_members_of_the_service_s_group_change_cameras_where_roles_are_given() -> None:
    settings = roles(admin=["alice"])
    assert settings.roles is not None
    assert settings.roles.operator == ("@streamer",)


@pytest.mark.parametrize("name", ["", "@", "a b", "a\nb", "../x", "*"])
def test_what_is_no_account_s_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no user's name"):
        roles(admin=[name])


def test_a_refusal_names_the_role_that_is_needed_and_how_it_is_given() -> None:
    with pytest.raises(ControlError, match=r"snapshot needs the role admin.*no role.*control\.roles\.admin"):
        check_role(OTHER, "admin", roles(operator=[]), "snapshot")


def test_the_kernel_says_who_connected() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        caller = caller_of(ours)
    assert caller.uid == os.geteuid()
    assert caller.groups >= {os.getegid(), *os.getgroups()}
    assert caller.owns_the_daemon
    assert caller.name == pwd.getpwuid(os.geteuid()).pw_name


@needs_root
@pytest.mark.integration
def test_a_running_daemon_holds_every_operation_to_its_role(short_dir: Path) -> None:
    user, group = pwd.getpwuid(NOBODY).pw_name, grp.getgrgid(NOGROUP).gr_name
    site = Daemon(short_dir, [{"name": "gate", "url": "synthetic:street"}],
                  inference={"engine": "motion"}, sinks=[])  # fmt: skip
    try:
        site.start()
        site.wait_for(lambda s: s["cameras"][0]["state"] == "live", 20, "the camera")
        open_to_group(site.runtime_dir / "control.sock")
        given: dict[str, list[str]] = {"operator": []}
        for role, names in {"viewer": [f"@{group}"], "operator": [user], "admin": [user]}.items():
            given[role] = names
            give(site, given)
            for name in OPERATIONS:
                may = ROLES.index(lookup(OPERATIONS, name).role) <= ROLES.index(role_named(role))
                with as_other_user():
                    refusal = outcome(site.runtime_dir / "control.sock", name, ARGUMENTS.get(name, {}))
                assert (f"{name} needs the role" in refusal) is not may, (role, name, refusal)
        assert site.stop() == 0
    finally:
        site.kill()


ARGUMENTS: dict[str, dict[str, Any]] = {
    "snapshot": {"camera": "gate"},
    "change": {"op": "camera.set", "name": "gate", "values": {"source.fps": 5}},
}


def role_named(name: str) -> Role:
    return next(role for role in ROLES if role == name)


def give(site: Daemon, roles: dict[str, list[str]]) -> None:
    """Another `control.roles`, in force."""
    assert site.process is not None
    path, rev = site.config_dir / "streamer.yaml", site.status()["config_rev"]
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "control": {"roles": roles}}))
    site.process.send_signal(signal.SIGHUP)
    site.wait_for(lambda s: s["config_rev"] > rev, 10, "the roles to be in force")


def outcome(path: Path, op: str, args: dict[str, Any]) -> str:
    """ "" or the refusal."""
    try:
        control.call(path, op, args, patient(10))
    except ControlError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("role", ROLES)
def test_who_asks_for_somebody_has_no_more_than_their_role_and_owns_nothing(role: Role) -> None:
    for caller in (Caller(0), Caller(os.geteuid()), OTHER):
        lowered = caller.lowered(role, "token shop")
        assert role_of(lowered, ControlConfig()) == role
        assert not lowered.owns_the_daemon
        assert lowered.name == "token shop"


def test_nobody_gains_a_role_by_asking_for_somebody() -> None:
    viewers = roles(viewer=[f"@{GROUP}"], operator=[], admin=[])
    for role in ROLES:
        assert role_of(IN_GROUP.lowered(role, "x"), viewers) == "viewer"
        assert role_of(OTHER.lowered(role, "x"), roles(operator=[])) is None
    with pytest.raises(ControlError, match="needs the role admin, and token x has the role operator"):
        check_role(Caller(0).lowered("operator", "token x"), "admin", ControlConfig(), "snapshot")
