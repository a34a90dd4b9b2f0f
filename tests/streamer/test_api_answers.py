"""What a real daemon answers is what /openapi.json says: no key more, none less, none of another type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streamer.api.http.health import health_of
from streamer.api.http.routes import ROUTES
from tests.api_rig import ApiDaemon, api_daemon
from tests.moving import write_moving_clip

LINE = {"name": "extra", "points": [[0.2, 0.1], [0.8, 0.1]]}
ZONE = {"name": "yard", "points": [[0.1, 0.5], [0.5, 0.5], [0.5, 0.9]]}
ALERT = {"name": "crowd", "zone": "court", "at_least": 10, "for_s": 5}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    clip = write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)
    with api_daemon(clip) as daemon:
        yield daemon.serve()


class Described:
    """A client that holds every answer against the description."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._document = client.get("/openapi.json").json()
        self.asked: set[tuple[str, str]] = set()

    def ask(self, method: str, template: str, path: str = "", **more: Any) -> Any:
        """The answer as data; `template` is the route's path, `path` what is asked for where it differs."""
        response = self._client.request(method, path or template, **more)
        assert response.is_success, f"{method} {path or template}: {response.text}"
        told = self._document["paths"][template][method.lower()]["responses"][str(response.status_code)]
        schema = {**told["content"]["application/json"]["schema"], "components": self._document["components"]}
        faults = [
            f"{e.json_path}: {e.message}" for e in Draft202012Validator(schema).iter_errors(response.json())
        ]
        assert not faults, f"{method} {path or template}: {faults}"
        self.asked.add((method, template))
        return response.json()


def test_every_route_that_answers_json_says_what() -> None:
    silent = [
        f"{route.method} {route.path}"
        for route in ROUTES
        if "application/json" in route.produces and route.answer is None and route.operation != "change"
    ]
    assert silent == ["GET /openapi.json"]


@pytest.mark.integration
@pytest.mark.slow
def test_what_is_answered_is_what_is_described(daemon: ApiDaemon) -> None:
    daemon.wait_for(lambda s: s["ledger"]["committed"] > 30, 60, "events")
    camera, one = "/api/v1/cameras/{name}", "/api/v1/cameras/a"
    with daemon.client("admin") as client:
        api = Described(client)
        for path in (
            "/livez",
            "/readyz",
            "/api/v1/session",
            "/api/v1/status",
            "/api/v1/health",
            "/api/v1/cameras",
        ):
            api.ask("GET", path)
        for path in ("/api/v1/models", "/api/v1/actions"):
            api.ask("GET", path)
        api.ask("GET", camera, one)
        client.put(f"{one}/zones/court", json={**ZONE, "name": "court"}).raise_for_status()
        for kind, body in (("lines", LINE), ("zones", ZONE), ("masks", ZONE), ("alerts", ALERT)):
            api.ask("POST", f"{camera}/{kind}", f"{one}/{kind}", json=body)
            assert api.ask("GET", f"{camera}/{kind}", f"{one}/{kind}")[kind]
            rule = f"{one}/{kind}/{body['name']}"
            for method in ("GET", "PUT", "PATCH", "DELETE"):
                sent = {} if method in ("GET", "DELETE") else {"json": body}
                api.ask(method, f"{camera}/{kind}/{{rule}}", rule, **sent)
        api.ask("PATCH", camera, one, json={"values": {"source.fps": 5}})
        for by in ("camera,name,direction,class", "camera,rev,minute", "week,day,hour"):
            assert api.ask("GET", "/api/v1/counts", params={"by": by})["counts"]
        events = api.ask("GET", "/api/v1/events")["events"]
        for event in {event["type"]: event for event in events}.values():
            why = "/api/v1/events/{event}/why"
            api.ask("GET", why, f"/api/v1/events/{event['id']}/why")
        api.ask("GET", f"{camera}/paths", f"{one}/paths")
        api.ask("GET", f"{camera}/lines/suggested", f"{one}/lines/suggested")
        body = {"line": LINE, "by_hour": True}
        api.ask("POST", f"{camera}/recount", f"{one}/recount", json=body)
        api.ask("DELETE", camera, "/api/v1/cameras/b")
    with daemon.client("viewer") as client:
        assert client.get("/api/v1/cameras/nobody").json()["code"] == "NOT_FOUND"
        assert client.get("/api/v1/counts?since=x").json()["code"] == "CONFIG", "as the command line has it"
        assert "url" not in Described(client).ask("GET", camera, one)["settings"]


def test_health_says_fail_where_nothing_is_counted_and_warn_where_it_cannot_be_trusted() -> None:
    row = {"name": "gate", "state": "live", "detail": "fine", "health": None, "warning": ""}
    frozen = {"state": "frozen", "detail": "the same picture for 40 s", "since_ns": 7}
    judged = [
        health_of(row | more)
        for more in (
            {},
            {"warning": "model: gone"},
            {"health": frozen},
            {"state": "auth_failed", "detail": "401: mend the password"},
            {"state": "disabled"},
        )
    ]
    assert [each["level"] for each in judged] == ["ok", "warn", "warn", "fail", "ok"]
    assert judged[2]["why"] == ["the same picture for 40 s"]
    assert (judged[2]["seen"], judged[2]["since_ns"], judged[0]["seen"]) == ("frozen", 7, None)
    assert judged[3]["why"] == ["401: mend the password"]
