"""The API worker in a running daemon: what it answers, and that nothing else hangs on it."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parsed

from streamer.ledger import LedgerReader
from tests.api_rig import ApiDaemon, api_daemon, events_of, problem, stream_of
from tests.certificates import Authority
from tests.conftest import REPO, missing_part
from tests.moving import write_moving_clip
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CROSSED = "streamer.line.crossed.v1"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 20.0)


@pytest.fixture(scope="module")
def daemon(clip: Path) -> Iterator[ApiDaemon]:
    with api_daemon(clip) as daemon:
        yield daemon.serve()


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["seq"] for event in events]


def test_a_stream_is_taken_up_without_a_gap_also_over_the_worker_s_death(daemon: ApiDaemon) -> None:
    got: list[dict[str, Any]] = []
    with daemon.client("viewer") as client, stream_of(client, camera="a") as stream:
        for at, kind, event in events_of(stream, 60):
            assert (at, kind) == (event["id"], event["type"])
            got.append(event)
            if len(got) == 5:
                break
    status = daemon.status()
    others = {w["name"]: (w["pid"], w["restarts"]) for w in status["workers"] if w["name"] != "api"}
    killed = daemon.kill_worker("api")
    last = got[-1]["data"]["seq"]
    daemon.wait_for(lambda s: s["ledger"]["cameras"]["a"]["last_seq"] > last + 5, 60, "events")
    daemon.wait_for_api(after_pid=killed)
    with daemon.client("viewer") as client, stream_of(client, got[-1]["id"], camera="a") as stream:
        for _, _, event in events_of(stream, 60):
            got.append(event)
            if len(got) == 15:
                break
    assert seqs(got) == list(range(seqs(got)[0], seqs(got)[0] + 15))
    status = daemon.status()
    assert {w["name"]: (w["pid"], w["restarts"]) for w in status["workers"] if w["name"] != "api"} == others


def test_a_last_id_that_is_not_kept_is_answered_with_a_gap_and_all_that_is(daemon: ApiDaemon) -> None:
    with daemon.client("viewer") as client:
        first = client.get("/api/v1/events?camera=a&limit=1").json()["events"][0]
        node, camera, lineage, _ = first["id"].split("/")
        with stream_of(client, f"{node}/{camera}/{lineage}/999999999", camera="a") as stream:
            feed = events_of(stream)
            _, kind, told = next(feed)
            assert (kind, told["after"].rpartition("/")[2]) == ("gap", "999999999")
            assert next(feed)[2] == first
        for wrong in ("x", "a/b/c/d", f"other/{camera}/{lineage}/1", f"{node}/{camera}/-1/1", "9" * 200):
            with stream_of(client, wrong) as stream:
                stream.read()
                assert problem(stream)["status"] == 422


def test_pages_hold_every_event_once_and_in_order(daemon: ApiDaemon) -> None:
    paged: list[dict[str, Any]] = []
    with daemon.client("viewer") as client:
        crossings = {"limit": "1000", "type": CROSSED}
        daemon.wait_for(
            lambda _: len(client.get("/api/v1/events", params=crossings).json()["events"]) > 10,
            60,
            "crossings",
        )
        time.sleep(3.1)  # those are older than `until` then
        until = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 3))
        params = {"limit": "7", "type": CROSSED, "until": until}
        whole = client.get("/api/v1/events", params={**params, "limit": "1000"}).json()
        while True:
            page = client.get("/api/v1/events", params=params).json()
            paged += page["events"]
            assert len(page["events"]) <= 7
            if page["next"] is None:
                break
            params["after"] = page["next"]
    assert whole["next"] is None
    assert len(whole["events"]) > 7
    assert paged == whole["events"]
    assert {event["type"] for event in paged} == {CROSSED}
    since = paged[5]["time"][:19] + "+00:00"
    with daemon.client("viewer") as client:
        late = client.get("/api/v1/events", params={**params, "since": since, "after": "", "limit": "1000"})
    assert late.json()["events"] == [event for event in paged if event["time"] >= since[:19]]


def test_counts_are_those_of_the_command_line(daemon: ApiDaemon) -> None:
    daemon.wait_for(lambda s: s["ledger"]["committed"] > 30, 60, "events")
    by = "camera,name,direction,class,minute"
    with daemon.client("viewer") as client:
        ours = client.get("/api/v1/counts", params={"by": by, "camera": "a"}).json()
        theirs = daemon.cli("counts", "--json", "--by", by, "--camera", "a").stdout
        again = client.get("/api/v1/counts", params={"by": by, "camera": "a"}).json()
        text = client.get("/api/v1/counts", params={"by": by, "format": "csv"}).text
        none = client.get("/api/v1/counts", params={"class": "giraffe"}).json()
        past = client.get("/api/v1/counts", params={"since": "2020-01-01", "until": "2020-01-02"}).json()
    told = yaml.safe_load(theirs)
    assert set(told["counts"][0]) == set(ours["counts"][0])
    assert ours["counts"][0]["count"] <= told["counts"][0]["count"] <= again["counts"][0]["count"]
    assert "seen_s" in ours["counts"][0], "coverage beside it"
    assert "blind" in ours["counts"][0]
    rows = list(csv.DictReader(text.splitlines()))
    assert {row["camera"] for row in rows} == {"a", "b"}
    assert none["counts"] == []
    assert past["counts"] == []
    assert past["coverage"] == {}


def test_counts_come_as_parquet_with_the_rows_of_json(daemon: ApiDaemon) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: the extra parquet")
    from pyarrow import parquet

    daemon.wait_for(lambda s: s["ledger"]["committed"] > 30, 60, "events")
    by = {"by": "camera,name,direction,class", "camera": "a"}
    with daemon.client("viewer") as client:
        before = client.get("/api/v1/counts", params=by).json()["counts"]
        file = client.get("/api/v1/counts", params={**by, "format": "parquet"})
        after = client.get("/api/v1/counts", params=by).json()["counts"]
    assert file.headers["content-type"] == "application/vnd.apache.parquet"
    rows = parquet.read_table(io.BytesIO(file.content)).to_pylist()
    assert [row["name"] for row in before] == [row["name"] for row in rows]
    for first, row, last in zip(before, rows, after, strict=True):
        assert first["count"] <= row["count"] <= last["count"]


def test_metrics_are_read_by_prometheus_own_parser_and_are_the_daemon_s(daemon: ApiDaemon) -> None:
    with daemon.client("viewer") as client:
        before = daemon.camera("a")["frames"]["inferred"]
        families = {family.name: family for family in parsed(client.get("/metrics").text)}
        after = daemon.camera("a")["frames"]["inferred"]
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    frames = samples["streamer_frames_total", ("camera", "a"), ("outcome", "inferred"), ("reason", "")]
    assert before - 50 <= frames <= after
    assert samples["streamer_camera_state", ("camera", "a"), ("state", "live")] == 1
    with closing(LedgerReader(daemon.state_dir / "ledger.sqlite")) as reader:
        crossed = sum(v for k, v in reader.totals("a").items() if k.startswith("line/"))
    told = sum(v for k, v in samples.items() if k[0] == "streamer_crossings_total" and ("camera", "a") in k)
    assert 0 < told <= crossed
    aged = samples["streamer_frame_age_seconds_count", ("camera", "a")]
    took = samples["streamer_inference_seconds_bucket", ("camera", "a"), ("le", "+Inf")]
    assert abs(aged - frames) <= 5, "one for each frame, but for those that come while they are read"
    assert abs(took - frames) <= 5
    assert samples["streamer_frame_age_seconds_sum", ("camera", "a")] > 0
    seen = samples["streamer_coverage_seconds_total", ("camera", "a"), ("kind", "seen")]
    assert seen > 0
    assert samples["streamer_restarts_total", ("worker", "deliver")] == 0
    wanted = {
        *("streamer_crossings", "streamer_frames", "streamer_frame_age_seconds", "streamer_camera_state"),
        *("streamer_coverage_seconds", "streamer_inference_seconds", "streamer_restarts"),
        "streamer_outbox_events",
    }
    assert wanted <= families.keys()
    for family in families.values():
        assert family.name.startswith("streamer_")
        assert family.documentation.endswith(".")
        assert re.fullmatch(r"[a-z_]+", family.name)


def test_promtool_has_nothing_against_the_metrics(daemon: ApiDaemon) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing_part("promtool")
    with daemon.client("viewer") as client:
        text = client.get("/metrics").text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=patient(20)
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), done.stderr


def test_a_picture_is_a_jpeg_of_the_width_that_was_asked_for(daemon: ApiDaemon) -> None:
    import cv2
    import numpy as np

    with daemon.client("admin") as client:
        response = client.get("/api/v1/cameras/a/snapshot.jpg?width=160")
        assert response.headers["content-type"] == "image/jpeg"
        assert response.headers["cache-control"] == "no-store"
        picture = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape[1] == 160
        assert problem(client.get("/api/v1/cameras/nobody/snapshot.jpg"))["status"] == 404


def test_the_description_names_every_route_and_its_role(daemon: ApiDaemon) -> None:
    with daemon.client("viewer") as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert paths["/api/v1/cameras"]["post"]["x-role"] == "operator"
    assert "example" in paths["/api/v1/cameras"]["post"]["requestBody"]["content"]["application/json"]
    assert all(route["description"] for path in paths.values() for route in path.values())


def test_the_curl_lines_of_the_page_do_what_they_say(daemon: ApiDaemon, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        missing_part("curl")
    page = (REPO / "docs/api.md").read_text()
    block = "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    lines = [line for line in block.replace("\\\n", " ").splitlines() if line.startswith("curl")]
    assert len(lines) >= 12
    env = {**os.environ, "API": daemon.url, "TOKEN": daemon.secrets["admin"], "no_proxy": "*"}
    for line in lines:
        line = line.replace("gate", "a").replace("curl -sS", "curl -sS -w '%{stderr}%{http_code}'")
        done = subprocess.run(
            ["bash", "-c", line], env=env, capture_output=True, text=True, cwd=tmp_path, timeout=patient(20)
        )
        assert done.stderr[-3:] in ("200", "201"), (line, done.stdout, done.stderr)
    assert (tmp_path / "a.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_without_a_daemon_behind_it_readiness_says_so(daemon: ApiDaemon) -> None:
    """A supervisor that hangs: the API still answers, and says in a bounded time what it cannot get."""
    assert daemon.process is not None
    with daemon.client("viewer") as client:
        assert client.get("/readyz").status_code == 200
        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            deadline_s = time.monotonic() + patient(15)
            while client.get("/readyz", timeout=patient(15)).status_code == 200:
                assert time.monotonic() < deadline_s
            assert client.get("/livez").status_code == 200
            told = client.get("/api/v1/cameras", timeout=patient(15))
            assert problem(told)["status"] == 504
            assert client.get("/api/v1/counts").status_code == 200, "the ledger is there"
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)


# ---- where it listens


def test_over_tls_what_is_no_tls_gets_nothing(short_dir: Path, clip: Path) -> None:
    signed = Authority(short_dir / "tls")
    cert, key = signed.sign("server", "IP:127.0.0.1")
    daemon = ApiDaemon(
        short_dir, clip, api={"listen": "127.0.0.1:0", "tls_cert": str(cert), "tls_key": str(key)}
    )
    try:
        daemon.serve()
        trusted = ssl.create_default_context(cafile=str(signed.ca))
        url = daemon.url.replace("http:", "https:")
        with httpx.Client(verify=trusted, headers=daemon.headers("viewer"), trust_env=False) as client:
            assert client.get(f"{url}/api/v1/cameras").status_code == 200
            with daemon.connect() as plain:
                plain.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                plain.settimeout(patient(20))
                assert not plain.recv(4096).startswith(b"HTTP")
            assert client.get(f"{url}/livez").status_code == 200, "and goes on"
        first = served(daemon)
        key.write_text("no key")
        daemon.wait_for(lambda _: "the one before goes on" in daemon.log(), 20, "the refusal of a bad one")
        assert served(daemon) == first
        for path, new in zip((cert, key), signed.sign("renewed", "IP:127.0.0.1"), strict=True):
            path.write_text(new.read_text())
        daemon.wait_for(lambda _: served(daemon) != first, 20, "the renewed certificate")
    finally:
        daemon.kill()


def served(daemon: ApiDaemon) -> str:
    return ssl.get_server_certificate(daemon.address, timeout=patient(5))


def test_a_reload_turns_it_on_and_off_and_a_taken_port_is_a_warning(short_dir: Path, clip: Path) -> None:
    daemon = ApiDaemon(short_dir, clip, api={})
    try:
        daemon.start()
        assert [w for w in daemon.status()["workers"] if w["name"] == "api"] == []
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            listen(daemon, f"127.0.0.1:{port}")
            status = daemon.wait_for(
                lambda s: any("cannot be listened at" in w for w in s["warnings"]), 30, "the warning"
            )
            assert next(w for w in status["workers"] if w["name"] == "api")["restarts"] == 0
        daemon.wait_for_api()
        assert daemon.url.endswith(f":{port}")
        path = short_dir / "http.sock"
        listen(daemon, str(path))
        daemon.wait_for(lambda _: path.is_socket(), 20, "the socket")
        assert path.stat().st_mode & 0o777 == 0o660
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), trust_env=False) as client:
            assert client.get("http://localhost/livez").json() == {"status": "alive"}
        listen(daemon, None)
        daemon.wait_for(lambda s: all(w["name"] != "api" for w in s["workers"]), 20, "its end")
        assert not path.exists()
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def listen(daemon: ApiDaemon, where: str | None) -> None:
    file = daemon.config_dir / "streamer.yaml"
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**document, "api": {"listen": where}}))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)


def test_the_process_that_serves_http_loads_neither_decoder_nor_opencv() -> None:
    """It would hold their memory for nothing: others take the pictures, and few are drawn on."""
    code = (
        "import sys, streamer.workers.api.worker, streamer.api.http.server\n"
        "print([name for name in ('av', 'cv2', 'openvino', 'onnxruntime', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
