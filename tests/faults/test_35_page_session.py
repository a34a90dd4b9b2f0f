"""Fault 35, with a cookie: what a browser sends unasked changes nothing, on any route; and a session gives no
more than its token, for no longer than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from streamer.api.http.page_files import POLICY
from streamer.api.http.routes import ROUTES
from streamer.api.http.sign_in import MAX_FAILURES
from streamer.api.sign_in_links import LinkStore
from tests.api_rig import ApiDaemon, api_daemon, events_of, problem, stream_of
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SESSION = "/api/v1/session"
GUARDED = [route for route in ROUTES if route.role is not None]


@pytest.fixture(scope="module")
def daemon(moving_clip: Path) -> Iterator[ApiDaemon]:
    with api_daemon(moving_clip) as daemon:
        yield daemon.serve()


@contextmanager
def signed_in(daemon: ApiDaemon, token: str, csrf: bool = False) -> Iterator[httpx.Client]:
    """As a browser: with the cookie, and with the page's own header only where `csrf`."""
    with daemon.client() as client:
        started = client.post(SESSION, json={"token": daemon.secrets[token]})
        assert started.status_code == 201, started.text
        if csrf:
            client.headers["x-csrf-token"] = started.json()["csrf"]
        yield client


def test_a_cookie_alone_changes_nothing_on_any_route(daemon: ApiDaemon) -> None:
    changing = [route for route in GUARDED if route.method not in ("GET", "HEAD")]
    assert len(changing) >= 4
    with signed_in(daemon, "admin") as client, signed_in(daemon, "operator") as other:
        foreign = other.get(SESSION).json()["csrf"]
        for route in changing:
            path = route.path.replace("{name}", "a")
            for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": foreign}, {"x-csrf-token": "é"}):
                raw = [(k.encode(), v.encode()) for k, v in headers.items()]
                response = client.request(
                    route.method, path, headers=raw, json={"values": {"enabled": False}}
                )
                assert response.status_code == 403, (route, headers)
                assert "X-CSRF-Token" in problem(response)["detail"]
        assert client.get(SESSION).status_code == 200, "also signing out was refused"
    assert files(daemon) == ["a.yaml", "b.yaml"]
    assert daemon.camera("a")["enabled"]


def test_with_the_page_s_header_the_same_is_served(daemon: ApiDaemon) -> None:
    with signed_in(daemon, "operator", csrf=True) as client:
        new = {"camera": {"name": "new", "url": "synthetic:street"}}
        assert client.post("/api/v1/cameras", json=new).status_code == 201
        assert client.patch("/api/v1/cameras/new", json={"values": {"enabled": False}}).status_code == 200
        assert client.delete("/api/v1/cameras/new").status_code == 200


def test_a_session_has_no_more_rights_than_its_token_on_any_route(daemon: ApiDaemon) -> None:
    refused = 0
    with signed_in(daemon, "viewer", csrf=True) as viewer, signed_in(daemon, "b-admin", csrf=True) as of_b:
        for route in GUARDED:
            path, body = route.path.replace("{name}", "a"), {"camera": {"name": "a", "url": "none://"}}
            given = {"json": body} if route.method in ("POST", "PATCH") else {}
            if route.role != "viewer":
                assert viewer.request(route.method, path, **given).status_code == 403, route.path  # type: ignore[arg-type]
                refused += 1
            if "{name}" in route.path:
                assert of_b.request(route.method, path, **given).status_code == 403, route.path  # type: ignore[arg-type]
        assert refused >= 4
        assert [row["name"] for row in of_b.get("/api/v1/cameras").json()["cameras"]] == ["b"]
        assert of_b.get("/api/v1/status").json()["warnings"] == []
    assert files(daemon) == ["a.yaml", "b.yaml"]


def test_another_site_gets_nothing_with_the_cookie(daemon: ApiDaemon) -> None:
    with signed_in(daemon, "admin", csrf=True) as client:
        for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            for route in ROUTES:
                response = client.request(route.method, route.path.replace("{name}", "a"), headers=headers)
                assert response.status_code == 403, (route, headers)
    assert files(daemon) == ["a.yaml", "b.yaml"]


def test_a_link_in_a_mail_opens_the_page_and_nothing_else(daemon: ApiDaemon) -> None:
    """A browser says of that: cross-site, and that somebody goes there."""
    opened = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    with signed_in(daemon, "admin") as client:
        assert client.get("/", headers=opened).status_code == 200
        for headers in (
            {**opened, "sec-fetch-dest": "iframe"},
            {**opened, "sec-fetch-mode": "no-cors"},
            {**opened, "origin": "http://evil.example"},
        ):
            assert client.get("/", headers=headers).status_code == 403, headers
        for path in ("/api/v1/cameras", "/page/app.js", "/metrics"):
            assert client.get(path, headers=opened).status_code == 403, path
        assert client.post("/", headers=opened).status_code == 403


def test_the_cookie_is_for_no_script_and_no_other_site(daemon: ApiDaemon) -> None:
    with daemon.client() as client:
        started = client.post(SESSION, json={"token": daemon.secrets["viewer"]})
        cookie = started.headers["set-cookie"].lower()
        for part in ("httponly", "samesite=strict", "path=/", "max-age="):
            assert part in cookie
        assert "domain" not in cookie
        assert daemon.secrets["viewer"] not in started.text + cookie
        assert started.headers["cache-control"] == "no-store"
        assert client.get("/").headers["content-security-policy"] == POLICY


def test_behind_tls_the_cookie_goes_nowhere_without_it(moving_clip: Path) -> None:
    api = {"listen": "127.0.0.1:0", "behind_proxy": True}
    with api_daemon(moving_clip, api=api) as daemon, daemon.serve().client() as client:
        cookie = client.post(SESSION, json={"token": daemon.secrets["viewer"]}).headers["set-cookie"]
    assert cookie.startswith("__Host-streamer-")
    assert "secure" in cookie.lower()


def test_signing_out_ends_the_session_and_its_streams(daemon: ApiDaemon) -> None:
    with signed_in(daemon, "viewer", csrf=True) as client, stream_of(client) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        with daemon.client() as other:
            other.cookies, other.headers["x-csrf-token"] = client.cookies, client.headers["x-csrf-token"]
            assert other.delete(SESSION).status_code == 200
        for _ in lines:  # until the server ends it; httpx's time-out fails it
            pass
        assert client.get(SESSION).status_code == 401


def test_a_token_that_is_removed_ends_its_sessions_and_their_streams(daemon: ApiDaemon) -> None:
    daemon.add_token("gone", "viewer")
    with signed_in(daemon, "gone") as client, stream_of(client) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        daemon.cli("token", "remove", "gone")
        for _ in lines:
            pass
        assert "sign in again" in problem(client.get("/api/v1/cameras"))["detail"]
        daemon.add_token("gone", "viewer")  # another one of the same name
        assert client.get("/api/v1/cameras").status_code == 401


def test_a_session_outlives_the_worker(daemon: ApiDaemon) -> None:
    with signed_in(daemon, "viewer") as client:
        cookies = client.cookies
    killed = daemon.kill_worker("api")
    daemon.wait_for_api(after_pid=killed)
    with daemon.client() as client:
        client.cookies = cookies
        assert client.get(SESSION).json()["name"] == "viewer"
        with stream_of(client) as stream:
            assert next(events_of(stream, 60))


def test_a_link_signs_in_once_and_as_its_token(daemon: ApiDaemon) -> None:
    token = next(one for one in daemon.tokens.tokens() if one.name == "b-operator")
    code = LinkStore(daemon.state_dir).add(token)
    with daemon.client() as client:
        started = client.post(SESSION, json={"link": code})
        assert (started.status_code, started.json()["name"]) == (201, "b-operator")
        assert started.json()["cameras"] == ["b"]
        assert client.get("/api/v1/cameras").status_code == 200
        used = client.post(SESSION, json={"link": code})
        assert (used.status_code, "ask for a new one" in problem(used)["detail"]) == (401, True)


@pytest.mark.parametrize(
    "body",
    [{}, {"token": 3}, {"token": ""}, {"token": "x" * 1000}, {"token": "x", "link": "y"}, {"user": "x"}],
)
def test_what_is_no_sign_in_is_refused(daemon: ApiDaemon, body: dict[str, object]) -> None:
    with daemon.client() as client:
        refused = client.post(SESSION, json=body)
        assert refused.status_code == 422
        problem(refused)
        assert "set-cookie" not in refused.headers


def test_sign_ins_that_fail_are_limited(daemon: ApiDaemon) -> None:
    """The last test here: from this address nobody signs in for a minute. Tokens go on."""
    with daemon.client() as client:
        answers = [client.post(SESSION, json={"token": f"x{n}"}).status_code for n in range(MAX_FAILURES + 2)]
        assert answers.count(401) <= MAX_FAILURES
        assert answers[-2:] == [429, 429]
        right = client.post(SESSION, json={"token": daemon.secrets["viewer"]}, timeout=patient(10))
        assert (right.status_code, right.headers["retry-after"]) == (429, "60")
    with daemon.client("viewer") as client:
        assert client.get("/api/v1/cameras").status_code == 200


def files(daemon: ApiDaemon) -> list[str]:
    return sorted(path.name for path in (daemon.config_dir / "cameras.d").glob("*.yaml"))
