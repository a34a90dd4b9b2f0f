"""Fault 35, over HTTP: a page of another site gets nothing, whichever name it asks under, and a camera's
URL leads nowhere that it may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.api.http.routes import ROUTES
from tests.api_rig import ApiDaemon, answer, api_daemon, head, problem

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def daemon(moving_clip: Path) -> Iterator[ApiDaemon]:
    api = {"listen": "127.0.0.1:0", "hosts": ["box.example.org"]}
    with api_daemon(moving_clip, api=api) as daemon:
        yield daemon.serve()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},  # another port is another site
        {"origin": "http://localhost"},
        {"origin": "file://"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1.evil.example"},
    ],
    ids=str,
)
def test_a_page_of_another_site_is_refused_on_every_route(daemon: ApiDaemon, headers: dict[str, str]) -> None:
    """Although it sends a token that is good."""
    with daemon.client("admin") as client:
        for route in ROUTES:
            response = client.request(route.method, route.path.replace("{name}", "a"), headers=headers)
            assert response.status_code == 403, route.path
            assert "may not ask here" in problem(response)["detail"]
    assert files(daemon) == ["a.yaml", "b.yaml"]


def test_a_page_of_our_own_is_not(daemon: ApiDaemon) -> None:
    with daemon.client("viewer") as client:
        for headers in (
            {"origin": daemon.url, "sec-fetch-site": "same-origin"},
            {"origin": "https://box.example.org", "host": "box.example.org"},  # TLS ends at a proxy
            {"sec-fetch-site": "none"},
        ):
            assert client.get("/api/v1/cameras", headers=headers).status_code == 200, headers


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example",
        "box.example.org.evil.example",
        "box.example.org@evil.example",
        "evil.example#box.example.org",
        "[::2]",
        "192.168.1.10",
        "",
        "[",
    ],
)
def test_another_name_is_refused_on_every_route(daemon: ApiDaemon, host: str) -> None:
    """DNS rebinding: a name of the attacker's leads to this address, and the browser takes us for its
    site."""
    name = host.replace("{port}", str(daemon.address[1]))
    for route in ROUTES:
        path = route.path.replace("{name}", "a")
        with daemon.connect() as connection:
            connection.sendall(head(route.method, path, daemon, "admin", host=name, origin=f"http://{name}"))
            assert answer(connection)[0] == 421, (path, host)
    assert files(daemon) == ["a.yaml", "b.yaml"]


def test_two_names_at_once_or_none_are_refused(daemon: ApiDaemon) -> None:
    request = head("GET", "/api/v1/cameras", daemon, "admin")
    for raw in (
        request.replace(b"\r\n", b"\r\nhost: evil.example\r\n", 1),
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.0\r\n\r\n",
    ):
        with daemon.connect() as connection:
            connection.sendall(raw)
            assert answer(connection)[0] in (400, 421)


def test_our_own_names_are_served_with_and_without_a_port(daemon: ApiDaemon) -> None:
    port = daemon.address[1]
    with daemon.client("viewer") as client:
        for host in ("localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", "[::1]:80", "Box.Example.org"):
            assert client.get("/api/v1/cameras", headers={"host": host}).status_code == 200, host


def test_no_answer_lets_another_site_read_it(daemon: ApiDaemon) -> None:
    with daemon.client("admin") as client:
        for method in ("GET", "OPTIONS", "HEAD"):
            asks = {
                "access-control-request-method": "DELETE",
                "access-control-request-headers": "authorization",
            }
            for headers in (asks, {**asks, "origin": "http://evil.example"}, {**asks, "origin": daemon.url}):
                response = client.request(method, "/api/v1/cameras", headers=headers)
                assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("role", ["operator", "admin"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/shadow", "the system's"),
        ("/etc/shadow", "the system's"),
        ("{clip}/../../../../../../etc/shadow", "the system's"),
        ("{state}/node-id", "the daemon's own"),
        ("{state}/tokens.json", "the daemon's own"),
        ("{clip}", "only root"),  # who asks over HTTP is not the daemon's own user
        ("rtsp://169.254.169.254/latest/meta-data", "sources.networks"),
        ("rtsp://2852039166/latest", "sources.networks"),
        ("rtsp://0xa9fea9fe:554/latest", "sources.networks"),
        ("rtsp://0251.0376.0251.0376/latest", "sources.networks"),
        ("rtsp://169.254.43518/latest", "sources.networks"),
        ("rtsp://[fd00:ec2::254]/latest", "sources.networks"),
        ("rtsp://[::ffff:169.254.169.254]:80/", "sources.networks"),
        ("http://169.254.169.254/", "sources.networks"),
        ("https://169.254.169.254/", "sources.networks"),
        ("http://[fd00:ec2::254]/latest", "sources.networks"),
        ("rtmp://169.254.169.254/live/a", "sources.networks"),
        ("folder:///etc", "the system's"),
        ("concat:/etc/passwd", ""),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "not supported"),
    ],
)
def test_no_token_leads_a_camera_to_a_file_or_an_address_that_is_none_of_its(
    daemon: ApiDaemon, moving_clip: Path, role: str, url: str, words: str
) -> None:
    url = url.format(clip=moving_clip, state=daemon.state_dir)
    before = (daemon.config_dir / "cameras.d" / "b.yaml").read_text()
    with daemon.client(role) as client:
        new = {"camera": {"name": "new", "url": url}}
        added = client.post("/api/v1/cameras", json=new)
        saved = client.post("/api/v1/cameras?check=false", json=new)
        looked_at = client.post("/api/v1/cameras/test", json=new)
        changed = client.patch("/api/v1/cameras/b", json={"values": {"url": url}})
    for response in (added, saved, looked_at, changed):
        if response is changed and url == str(moving_clip):
            continue  # which it is already
        assert response.status_code == 422, response.text
        assert words in problem(response)["detail"]
        assert problem(response)["code"] == "CONFIG"
    assert files(daemon) == ["a.yaml", "b.yaml"]
    assert (daemon.config_dir / "cameras.d" / "b.yaml").read_text() == before


def test_a_camera_that_may_be_is_added_and_removed(daemon: ApiDaemon) -> None:
    """Else the refusals above would prove nothing."""
    with daemon.client("operator") as client:
        new = {"camera": {"name": "new", "url": "synthetic:street"}}
        assert client.post("/api/v1/cameras", json=new).status_code == 201
        assert problem(client.post("/api/v1/cameras", json=new))["status"] == 409
        assert client.get("/api/v1/cameras/new").json()["settings"]["url"] == "synthetic:street"
        changed = client.patch("/api/v1/cameras/new", json={"values": {"source.fps": 3, "enabled": False}})
        assert changed.status_code == 200
        settings = client.get("/api/v1/cameras/new").json()["settings"]
        assert (settings["source"]["fps"], settings["enabled"]) == (3.0, False)
        assert client.delete("/api/v1/cameras/new").status_code == 200
        assert problem(client.delete("/api/v1/cameras/new"))["status"] == 404
    assert files(daemon) == ["a.yaml", "b.yaml"]


def files(daemon: ApiDaemon) -> list[str]:
    return sorted(path.name for path in (daemon.config_dir / "cameras.d").glob("*.yaml"))
