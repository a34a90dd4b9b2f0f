"""Fault 33: over HTTP nobody gets more than their token is for. Every route of the table is walked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamer.api import control_socket as control
from streamer.api.callers import ROLES, Role
from streamer.api.http.page_files import page_files
from streamer.api.http.routes import ROUTES, Route, application
from streamer.api.http.site import Site
from streamer.daemon.operations import OPERATIONS, lookup
from streamer.errors import ControlError
from tests.api_rig import ApiDaemon, api_daemon, events_of, problem, stream_of
from tests.moving import LINE, camera
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
GUARDED = [route for route in ROUTES if route.role is not None]
PROBES = {("GET", "/livez"), ("GET", "/readyz")}
PAGE = {("GET", "/"), ("GET", "/page/{path:path}")}
SIGN_IN = {("POST", "/api/v1/session")}


@pytest.fixture(scope="module")
def daemon(moving_clip: Path) -> Iterator[ApiDaemon]:
    with api_daemon(moving_clip) as daemon:
        for name in ("a", "b"):
            daemon.write_camera(with_rules(name, moving_clip))
        daemon.serve()
        yield daemon


def with_rules(name: str, clip: Path) -> dict[str, Any]:
    """A camera with one rule of every kind, all of them with the name of its line."""
    made: dict[str, Any] = dict(camera(name, clip, loop=True))

    def corner() -> dict[str, Any]:  # each its own, since YAML aliases are not used here
        return {"name": LINE["name"], "points": [[0.9, 0.9], [1.0, 0.9], [1.0, 1.0]]}

    made["rules"] = {**made["rules"], "zones": [corner()], "masks": [corner()]}
    made["rules"]["alerts"] = [{"name": LINE["name"], "zone": LINE["name"], "at_least": 100}]
    return made


def filled(path: str, camera: str) -> str:
    path = path.replace("{event:path}", f"{camera}/1")
    return path.replace("{name}", camera).replace("{rule}", str(LINE["name"]))


def ask(daemon: ApiDaemon, route: Route, token: str, camera: str = "a", query: str = "") -> httpx.Response:
    """As somebody would who wants it of that camera. What changes something names what is not so."""
    body = {"camera": {"name": camera, "url": "none://"}} if route.method == "POST" else {"values": {"no": 1}}
    path = filled(route.path, camera) + query
    with daemon.client(token) as client:
        if "multipart/x-mixed-replace" in route.produces:  # without end
            with client.stream(route.method, path) as response:
                if response.status_code != 200:
                    response.read()
                return response
        if route.method in ("POST", "PUT", "PATCH"):
            return client.request(route.method, path, json=body)
        return client.request(route.method, path)


def test_without_a_token_only_the_two_probes_and_the_page_s_files_answer(daemon: ApiDaemon) -> None:
    for route in ROUTES:
        response = ask(daemon, route, "")
        if (route.method, route.path) in PROBES:
            assert response.status_code == 200, route.path
            assert set(response.json()) == {"status"}, "nothing of what is watched"
        elif route.role is not None:
            assert response.status_code == 401, route.path
            assert response.headers["www-authenticate"].startswith("Bearer")
            problem(response)
    assert {(route.method, route.path) for route in ROUTES if route.role is None} == PROBES | PAGE | SIGN_IN


def test_the_page_s_files_are_the_same_for_everybody(daemon: ApiDaemon) -> None:
    """And so hold nothing of what is watched."""
    with daemon.client() as nobody, daemon.client("admin") as admin:
        for name, file in page_files().items():
            path = "/" if name == "index.html" else f"/page/{name}"
            told = nobody.get(path)
            assert (told.status_code, told.content) == (200, file.content), path
            assert admin.get(path).content == file.content
        for path in (
            "/page/../gate.py",
            "/page/%2e%2e/tokens.py",
            "/page//etc/passwd",
            "/page/vendor",
            "/page/",
        ):
            assert nobody.get(path).status_code in (401, 404), path
    with daemon.client() as client:
        assert client.get("/nothing/here").status_code == 401, "also where there is nothing"


@pytest.mark.parametrize("given", ["Bearer", "Bearer x", "Basic {}", "{}", "Bearer {}x", "Bearer {} {}"])
def test_what_is_no_token_of_ours_is_refused_on_every_route(daemon: ApiDaemon, given: str) -> None:
    header = given.replace("{}", daemon.secrets["admin"])
    with daemon.client() as client:
        for route in GUARDED:
            path = filled(route.path, "a")
            response = client.request(route.method, path, headers={"Authorization": header})
            assert response.status_code == 401, route.path
            assert daemon.secrets["admin"] not in response.text


def test_a_lower_role_is_refused_on_every_route(daemon: ApiDaemon) -> None:
    refused = 0
    for route in GUARDED:
        for role in ROLES[: ROLES.index(route.role)] if route.role else ():
            response = ask(daemon, route, role)
            assert response.status_code == 403, (route, role)
            assert f"role {route.role}" in problem(response)["detail"]
            refused += 1
    assert refused >= 5, "3 routes that change, and the picture, twice"
    assert files(daemon) == ["a.yaml", "b.yaml"]


def test_the_role_itself_is_not_refused_on_any_route(daemon: ApiDaemon) -> None:
    """Else the tests above would pass for an API that refuses everybody."""
    for route in GUARDED:
        if route.method != "DELETE":
            assert ask(daemon, route, str(route.role)).status_code not in (401, 403, 404, 500), route.path


def test_a_token_for_one_camera_is_refused_another_on_every_route(daemon: ApiDaemon) -> None:
    for route in GUARDED:
        for named in ("a", "nobody"):  # also one that there is not: nothing is told of which there are
            told = "{" in route.path or route.method == "POST"  # by its path, or its body
            query = "" if told else f"?camera={named}"
            response = ask(daemon, route, "b-admin", named, query)
            assert response.status_code == 403, (route, named)
            assert "b-admin is not for camera" in problem(response)["detail"]
    twice = ask(daemon, GUARDED[0], "b-admin", query="?camera=b&camera=a")
    assert twice.status_code == 403, "also beside its own"
    assert files(daemon) == ["a.yaml", "b.yaml"]


def test_a_token_for_one_camera_sees_nothing_of_the_others(daemon: ApiDaemon) -> None:
    crossed = {"type": "streamer.line.crossed.v1"}
    with daemon.client("admin") as client, stream_of(client, **crossed) as stream:
        seen = set()
        for _, _, event in events_of(stream, 60):
            seen.add(event["data"]["camera"])
            if len(seen) == 2:
                break
    with daemon.client("b-viewer") as client:
        rows = client.get("/api/v1/cameras").json()["cameras"]
        assert [row["name"] for row in rows] == ["b"]
        counted = client.get("/api/v1/counts").json()
        assert {row["camera"] for row in counted["counts"]} == {"b"}
        assert set(counted["coverage"]) <= {"b"}
        events = client.get("/api/v1/events?limit=1000").json()["events"]
        assert {event["data"]["camera"] for event in events} == {"b"}
        assert 'camera="b"' in client.get("/metrics").text
        assert 'camera="a"' not in client.get("/metrics").text
        with stream_of(client) as stream:
            feed = events_of(stream)
            assert {next(feed)[2]["data"]["camera"] for _ in range(5)} == {"b"}
    with daemon.client("admin") as client:
        everything = client.get("/api/v1/events?limit=1000").json()["events"]
        of_a = next(event["id"] for event in everything if event["data"]["camera"] == "a")
    with daemon.client("b-viewer") as client:
        assert client.get("/api/v1/events", params={"after": of_a}).status_code == 403
        with stream_of(client, of_a) as stream:
            assert stream.status_code == 403


def test_a_camera_s_address_is_for_operators(daemon: ApiDaemon) -> None:
    with daemon.client("viewer") as client:
        assert "url" not in client.get("/api/v1/cameras/a").json()["settings"]
    with daemon.client("operator") as client:
        assert client.get("/api/v1/cameras/a").json()["settings"]["url"]


def test_a_token_that_is_removed_opens_nothing_and_ends_its_streams(daemon: ApiDaemon) -> None:
    daemon.add_token("gone", "viewer")
    with daemon.client("gone") as client, stream_of(client) as stream:
        assert stream.status_code == 200
        feed = stream.iter_lines()
        assert next(feed).startswith("retry")
        daemon.cli("token", "remove", "gone")
        for _ in feed:  # until the server ends it; httpx's time-out fails it
            pass
        assert client.get("/api/v1/cameras").status_code == 401


def test_no_route_asks_less_than_the_operation_behind_it() -> None:
    for route in ROUTES:
        if route.operation:
            needed = lookup(OPERATIONS, route.operation).role
            assert route.role is not None
            assert ROLES.index(route.role) >= ROLES.index(needed), route.path


def test_the_application_has_no_route_that_is_not_in_the_table(tmp_path: Path) -> None:
    app = application(Site(tmp_path, tmp_path / "control.sock"))
    made = {(method, route.path) for route in app.routes for method in route.methods}  # type: ignore[attr-defined]
    assert made == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize("role", ROLES)
def test_the_daemon_itself_holds_who_asks_for_somebody_to_their_role(daemon: ApiDaemon, role: Role) -> None:
    """The API's own check is not the only one."""
    socket = daemon.runtime_dir / "control.sock"
    behalf = (role, "token x")
    assert control.call(socket, "status", {}, patient(5), behalf)["cameras"]
    for op, args in (("change", {"op": "camera.enable", "name": "a"}), ("snapshot", {"camera": "a"})):
        operation = lookup(OPERATIONS, op)
        if ROLES.index(role) >= ROLES.index(operation.role):
            assert control.call(socket, op, args, patient(10), behalf)
        else:
            with pytest.raises(ControlError, match=f"needs the role {operation.role}, and token x has"):
                control.call(socket, op, args, patient(5), behalf)


def test_tokens_are_kept_hashed_in_a_file_of_the_daemon_s_alone(daemon: ApiDaemon) -> None:
    assert daemon.tokens.path.stat().st_mode & 0o777 == 0o600
    text = daemon.tokens.path.read_text() + daemon.log()
    text += "".join(d.stdout for d in daemon.commands(("token", "list", "--json"), ("status", "--json")))
    assert "b-viewer" in text
    for secret in daemon.secrets.values():
        assert secret not in text
        assert secret.removeprefix("streamer_") not in text


def files(daemon: ApiDaemon) -> list[str]:
    return sorted(path.name for path in (daemon.config_dir / "cameras.d").glob("*.yaml"))
