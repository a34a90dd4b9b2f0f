"""What deploy/ promises: files that their programs take, and names that the daemon has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streamer.api.http.routes import ROUTES
from streamer.config.secrets import CREDENTIAL, SecretStore
from streamer.config.store import ConfigStore
from streamer.sinks.redis import READER_COMMANDS, WRITER_COMMANDS, connect
from tests.api_rig import ApiDaemon
from tests.conftest import missing_part
from tests.mosquitto import Broker, Listener, free_port, mosquitto_path
from tests.moving import write_moving_clip
from tests.patience import patient
from tests.redis_servers import Node, until

LOOPBACK = "127.0.0.1:"
OF_PROMETHEUS = {"up"}
_METRIC = re.compile(r"\b(?:streamer_[a-z_]+|up)\b(?![^{]*}[^{]*=~?\")")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@pytest.fixture(scope="module")
def deploy() -> Path:
    return Path(__file__).resolve().parents[1] / "deploy"


@pytest.fixture
def promtool() -> str:
    return shutil.which("promtool") or missing_part("promtool (deploy/setup.sh --tests installs it)")


@pytest.fixture
def secrets(deploy: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    subprocess.run(
        [sys.executable, deploy / "make_secrets.py", folder], check=True, stdout=subprocess.DEVNULL
    )
    return folder


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def expressions(deploy: Path) -> Iterator[tuple[str, str]]:
    """(where, PromQL) of the dashboard and the rules."""
    dashboard = json.loads((deploy / "grafana/streamer.json").read_text())
    for panel in dashboard["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    yield from ((rule["alert"], rule["expr"]) for rule in rules(deploy))


def rules(deploy: Path) -> list[dict[str, Any]]:
    return [
        rule for group in documents(deploy / "grafana/alerts.yaml")[0]["groups"] for rule in group["rules"]
    ]


@pytest.mark.integration
def test_every_metric_of_the_dashboard_and_the_rules_is_one_of_a_running_daemon(
    deploy: Path, short_dir: Path
) -> None:
    clip = write_moving_clip(short_dir / "moving.mp4", 4)
    events = [{"kind": "jsonl", "path": str(short_dir / "events.jsonl")}]
    daemon = ApiDaemon(short_dir / "d", clip, sinks=events).serve()
    try:
        daemon.wait_for(lambda status: "bytes" in status["ledger"], 20, "the ledger's size")
        with daemon.client("viewer") as client:
            families = list(text_string_to_metric_families(client.get("/metrics").text))
    finally:
        daemon.kill()
    known = {family.name + suffix for family in families for suffix in _SUFFIXES[family.type]} | OF_PROMETHEUS
    asked = {name: place for place, text in expressions(deploy) for name in _METRIC.findall(text)}
    assert {name: place for name, place in asked.items() if name not in known} == {}
    assert len(asked) > 12


def test_the_dashboard_has_a_row_for_each_subject_and_panels_do_not_overlap(deploy: Path) -> None:
    panels = json.loads((deploy / "grafana/streamer.json").read_text())["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == [
        "Counts",
        "Coverage",
        "Frame age",
        "Frames",
        "Inference",
        "Outbox and ledger",
        "Processes",
    ]
    taken = [
        (x, y)
        for panel in panels
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


# ---- Prometheus


def test_promtool_takes_the_rules_and_the_configuration(deploy: Path, promtool: str) -> None:
    for command in (
        ["check", "rules", deploy / "grafana/alerts.yaml"],
        ["check", "config", "--syntax-only", deploy / "prometheus.yaml"],
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=patient(20))
        assert done.returncode == 0, done.stdout + done.stderr


BAD = {  # alert: what a box says when it should be raised, a sample every minute
    "StreamerCameraBlind": {'streamer_camera_blind{camera="gate"}': "1+0x40"},
    "StreamerCameraNotLive": {
        'streamer_camera_state{camera="gate",state="live"}': "0+0x40",
        'streamer_camera_state{camera="gate",state="unreachable"}': "1+0x40",
    },
    "StreamerFramesOld": {
        'streamer_frame_age_seconds_bucket{camera="gate",le="1"}': "0+0x40",
        'streamer_frame_age_seconds_bucket{camera="gate",le="5"}': "0+600x40",
        'streamer_frame_age_seconds_bucket{camera="gate",le="+Inf"}': "0+600x40",
    },
    "StreamerOutboxGrowing": {'streamer_outbox_events{sink="redis"}': "2000+10x40"},
    "StreamerLedgerNearlyFull": {
        "streamer_ledger_size_bytes": "95+0x40",
        "streamer_ledger_limit_bytes": "100+0x40",
        'streamer_outbox_events{sink="redis"}': "5000+0x40",
    },
    "StreamerWorkerRestarting": {'streamer_restarts_total{worker="infer-0"}': "0+1x40"},
    "StreamerAway": {'up{job="streamer"}': "0+0x40"},
}
GOOD = {
    'streamer_camera_blind{camera="gate"}': "0+0x40",
    'streamer_camera_state{camera="gate",state="live"}': "1+0x40",
    'streamer_camera_state{camera="gate",state="unreachable"}': "0+0x40",
    'streamer_frame_age_seconds_bucket{camera="gate",le="1"}': "0+600x40",
    'streamer_frame_age_seconds_bucket{camera="gate",le="+Inf"}': "0+600x40",
    'streamer_outbox_events{sink="redis"}': "3+0x40",
    "streamer_ledger_size_bytes": "99+0x40",  # a ledger that prunes what all sinks have stays near its budget
    "streamer_ledger_limit_bytes": "100+0x40",
    'streamer_restarts_total{worker="infer-0"}': "1+0x40",
    'up{job="streamer"}': "1+0x40",
}


def firing(promtool: str, deploy: Path, folder: Path, series: dict[str, str], expected: str) -> str:
    """What promtool says to `expected` (an alert, "" for none) being all that is raised after 40 minutes."""
    samples = [{"series": name, "values": values} for name, values in series.items()]
    names = [rule["alert"] for rule in rules(deploy)]
    counts = [
        {
            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
            "eval_time": "40m",
            "exp_samples": [{"labels": "{}", "value": int(name == expected)}],
        }
        for name in names
    ]
    test = {
        "rule_files": [str(deploy / "grafana/alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": samples, "promql_expr_test": counts}],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool, "test", "rules", path], capture_output=True, text=True, timeout=patient(20)
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_every_alert_is_raised_by_what_it_is_for_alone(deploy: Path, promtool: str, tmp_path: Path) -> None:
    assert set(BAD) == {rule["alert"] for rule in rules(deploy)}
    for alert, series in BAD.items():
        assert firing(promtool, deploy, tmp_path, series, alert) == ""


def test_a_box_that_is_well_raises_nothing(deploy: Path, promtool: str, tmp_path: Path) -> None:
    assert firing(promtool, deploy, tmp_path, GOOD, "") == ""


# ---- compose


@pytest.fixture(scope="module")
def compose(deploy: Path) -> dict[str, Any]:
    return dict(documents(deploy / "compose.yaml")[0])


def test_compose_publishes_nothing_beyond_loopback_and_pins_its_images(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert all(port.startswith(LOOPBACK) for port in service.get("ports", ())), name
        assert "healthcheck" in service, name
        assert service["cap_drop"] == ["ALL"], name
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
    assert "/readyz" in str(compose["services"]["streamer"]["healthcheck"])


def test_compose_names_only_what_is_there(compose: dict[str, Any], deploy: Path, secrets: Path) -> None:
    for service in compose["services"].values():
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (deploy / source).exists() if source.startswith(".") else source in compose["volumes"], (
                mount
            )
        assert set(service.get("depends_on", ())) <= set(compose["services"])
    assert {Path(entry["file"]).name for entry in compose["secrets"].values()} == {
        path.name for path in secrets.iterdir()
    }
    text = (deploy / "mosquitto.conf").read_text() + (deploy / "prometheus.yaml").read_text()
    named = set(re.findall(r"/run/secrets/(\w+)", text + str(compose)))
    assert named <= set(compose["secrets"])


def test_docker_takes_the_compose_file(deploy: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("no docker client with compose; deploy/README.md says so")
    done = subprocess.run(
        [docker, "compose", "-f", deploy / "compose.yaml", "config", "-q"], capture_output=True
    )
    assert done.returncode == 0, done.stderr


def written(text: str, folder: Path) -> ConfigStore:
    (folder / "streamer.yaml").write_text(text)
    return ConfigStore(folder)


def test_the_configuration_of_the_containers_is_valid_and_gets_its_passwords(
    deploy: Path, secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secrets))
    store = written((deploy / "compose-streamer.yaml").read_text(), tmp_path)
    config = store.load()
    stored = yaml.safe_load((secrets / CREDENTIAL).read_text())["sinks"]
    for sink in config.event_sinks:
        address = SecretStore(store).sink_address(sink).reveal()
        assert stored[sink.name]["password"] in address
        host = re.findall(r"@([a-z]+):", address)[0]
        assert host in documents(deploy / "compose.yaml")[0]["services"]
    assert "streamer" in config.api.allowed_hosts


def test_new_secrets_are_closed_to_others_and_never_overwritten(deploy: Path, secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    before = {path: path.read_text() for path in secrets.iterdir()}
    subprocess.run(
        [sys.executable, deploy / "make_secrets.py", secrets], check=True, stdout=subprocess.DEVNULL
    )
    assert {path: path.read_text() for path in secrets.iterdir()} == before


@pytest.mark.integration
def test_a_real_redis_takes_the_user_that_was_made(secrets: Path, redis_binary: str, short_dir: Path) -> None:
    users = (secrets / "redis_users").read_text()
    assert " ".join(f"+{command}" for command in (*WRITER_COMMANDS, *READER_COMMANDS)) in users
    node = Node(redis_binary, short_dir, "--aclfile", str(secrets / "redis_users"))
    login = yaml.safe_load((secrets / CREDENTIAL).read_text())["sinks"]["redis"]
    try:
        client = connect(f"redis://streamer:{login['password']}@127.0.0.1:{node.port}/0")
        assert client.hgetall("streamer:cameras") == {}
        client.close()
    finally:
        node.kill()


@pytest.mark.integration
def test_a_real_mosquitto_takes_the_user_that_was_made(secrets: Path, short_dir: Path) -> None:
    binary = mosquitto_path() or missing_part("mosquitto")
    lines = ("allow_anonymous false", f"password_file {secrets / 'mosquitto_passwords'}")
    broker = Broker(binary, short_dir / "broker", free_port(), *lines).start()
    login = yaml.safe_load((secrets / CREDENTIAL).read_text())["sinks"]["mqtt"]
    try:
        until(lambda: Listener(broker.port, **login), "the broker takes the login")
    finally:
        broker.kill()


# ---- Kubernetes


@pytest.fixture(scope="module")
def objects(deploy: Path) -> dict[str, dict[str, Any]]:
    return {entry["kind"]: entry for entry in documents(deploy / "kubernetes/streamer.yaml")}


def pod(objects: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = objects["StatefulSet"]["spec"]["template"]["spec"]
    return spec, spec["containers"][0]


def test_the_probes_ask_routes_that_there_are_under_a_name_that_is_allowed(
    objects: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    config = written(objects["ConfigMap"]["data"]["streamer.yaml"], tmp_path).load()
    paths = {route.path for route in ROUTES}
    _, container = pod(objects)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in paths
        assert asked["port"] in ports
        assert {header["value"] for header in asked["httpHeaders"]} <= config.api.allowed_hosts
    assert config.api.listen == f"0.0.0.0:{ports['http']}"
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] in ports


def test_mounts_name_volumes_and_secrets_that_there_are(objects: dict[str, dict[str, Any]]) -> None:
    spec, container = pod(objects)
    claims = {claim["metadata"]["name"] for claim in objects["StatefulSet"]["spec"]["volumeClaimTemplates"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == claims | set(volumes)
    assert volumes["config"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert volumes["secrets"]["secret"]["secretName"] == objects["Secret"]["metadata"]["name"]
    assert set(objects["Secret"]["stringData"]) == {CREDENTIAL}
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environ["CREDENTIALS_DIRECTORY"] in mounts
    assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"]["medium"] == "Memory"
    assert mounts["/var/lib/streamer"]["name"] in claims
    labels = objects["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        objects["Service"]["spec"]["selector"],
        objects["StatefulSet"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert objects["StatefulSet"]["spec"]["serviceName"] == objects["Service"]["metadata"]["name"]


def test_the_pod_has_no_rights_that_it_does_not_need(
    objects: dict[str, dict[str, Any]], deploy: Path
) -> None:
    spec, container = pod(objects)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {spec['securityContext']['runAsUser']} " in (deploy / "Dockerfile").read_text()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
