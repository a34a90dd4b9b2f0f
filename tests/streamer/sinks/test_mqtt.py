"""The MQTT sink through a real delivery worker against a real mosquitto."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from streamer.ipc.messages import CameraStatus, DeliverAssignment, SinkAssignment
from streamer.sinks.mqtt_settings import MqttSettings
from streamer.sinks.mqtt_topics import Topics, part
from tests.certificates import Authority
from tests.daemon import Daemon
from tests.faults.delivery_rig import NODE, Rig
from tests.mosquitto import Broker, Listener, free_port

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("mosquitto_binary")]

ROOT = f"streamer/{NODE}"
TOTAL = f"{ROOT}/gate/line/door/in/person"
DISCOVERY = f"homeassistant/device/streamer_{NODE}_gate/config"
RULES = {
    "classes": ["person", "car"],
    "lines": [{"name": "door", "points": [[0, 0], [1, 1]], "left_to_right": "in", "right_to_left": "out"}],
    "zones": [{"name": "bay", "points": [[0, 0], [1, 0], [1, 1]], "classes": ["car"]}],
}


def sink_at(address: str, **settings: object) -> SinkAssignment:
    checked = MqttSettings.model_validate({"kind": "mqtt", "name": "mqtt", **settings})
    return SinkAssignment("mqtt", "mqtt", checked.model_dump_json(), address)


class MqttRig(Rig):
    rules: dict[str, object] = {"gate": RULES, "yard": {}}  # noqa: RUF012

    def assignment(self, rev: int = 1, config_rev: int = 1) -> DeliverAssignment:
        made = super().assignment(rev, config_rev)
        cameras = [{"name": name, "rules": self.rules[name]} for name in self.cameras]
        config = json.dumps({"cameras": cameras})
        fields = {name: getattr(made, name) for name in made.__struct_fields__}
        return DeliverAssignment(**{**fields, "config_json": config})

    def all_delivered(self) -> bool:
        ledger = self.status.get("ledger", {})
        return ledger.get("committed") == sum(self.sent.values()) and ledger.get("undelivered") == 0


@pytest.fixture
def broker(short_dir: Path, mosquitto_binary: str) -> Iterator[Broker]:
    broker = Broker(mosquitto_binary, short_dir / "broker", free_port())
    yield broker.start()
    broker.kill()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


@pytest.fixture
def rig(short_dir: Path, broker: Broker) -> Iterator[MqttRig]:
    rig = MqttRig(short_dir)
    rig.sinks = (sink_at(f"mqtt://127.0.0.1:{broker.port}", home_assistant=True, commands=True),)
    yield rig
    rig.close()


def ids(listener: Listener) -> list[str]:
    return [json.loads(payload)["id"] for payload in listener.of(f"{ROOT}/events")]


def seqs(listener: Listener, camera: str) -> list[int]:
    """Of the events of `camera`, each at its first arrival."""
    found = dict.fromkeys(ident for ident in ids(listener) if ident.split("/")[1] == camera)
    return [int(ident.rsplit("/", 1)[1]) for ident in found]


def test_events_and_totals_arrive_and_the_node_is_online(rig: MqttRig, listener: Listener) -> None:
    rig.start_delivery()
    rig.resume()
    for _ in range(5):
        rig.count("gate", 3)
        rig.count("yard", 1)
    rig.until(rig.all_delivered)
    listener.until(lambda: len(ids(listener)) == 20 and listener.last(TOTAL) == "15")
    assert seqs(listener, "gate") == list(range(1, 16))
    assert seqs(listener, "yard") == list(range(1, 6))
    assert listener.last(f"{ROOT}/status") == "online"
    (event,) = (m for m in listener.messages if m.topic == f"{ROOT}/events" and b"/yard/" in m.payload[:200]
                and json.loads(m.payload)["data"]["seq"] == 1)  # fmt: skip
    assert (event.qos, event.properties.ContentType) == (1, "application/cloudevents+json; charset=utf-8")
    attributes = dict(event.properties.UserProperty)
    body = json.loads(event.payload)
    assert attributes == {name: body[name] for name in ("specversion", "id", "source", "type")}
    assert rig.stop_delivery() == 0
    listener.until(lambda: listener.last(f"{ROOT}/status") == "offline")


def test_a_broker_that_is_killed_and_comes_back_empty_gets_everything_that_was_missing(
    rig: MqttRig, listener: Listener, broker: Broker, short_dir: Path
) -> None:
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 4)
    rig.until(lambda: listener.last(TOTAL) == "4")
    before = ids(listener)
    broker.kill()
    listener.close()
    rig.count("gate", 6)
    rig.until(lambda: rig.status["sinks"]["mqtt"]["state"] == "down")
    (short_dir / "broker" / "mosquitto.db").unlink(missing_ok=True)  # also what it retained
    broker.start()
    again = Listener(broker.port)
    try:
        rig.until(lambda: again.last(TOTAL) == "10")
        rig.until(rig.all_delivered)
        assert again.last(f"{ROOT}/gate/line/door/out/person") == "0"
        assert {*before, *ids(again)} == {*before, *(_sibling(before[0], n) for n in range(5, 11))}
    finally:
        again.close()


def test_the_will_is_seen_when_the_worker_is_killed_and_nothing_is_lost(
    rig: MqttRig, listener: Listener
) -> None:
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 50)
    rig.until(lambda: len(ids(listener)) > 0)
    rig.kill_delivery()
    listener.until(lambda: listener.last(f"{ROOT}/status") == "offline")
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 5)
    rig.until(rig.all_delivered)
    rig.until(lambda: listener.last(TOTAL) == "55")
    assert seqs(listener, "gate") == list(range(1, 56))
    assert listener.last(f"{ROOT}/status") == "online"


def test_home_assistant_is_told_of_every_total_with_a_zero_before_the_first_count(
    rig: MqttRig, listener: Listener
) -> None:
    rig.start_delivery()
    rig.until(lambda: listener.last(DISCOVERY) is not None)
    listener.until(lambda: listener.last(f"{ROOT}/gate/zone/bay/entered/car") == "0")
    told = json.loads(listener.last(DISCOVERY) or "")
    totals = {
        c["state_topic"] for c in told["components"].values() if c.get("state_class") == "total_increasing"
    }
    lines = {f"{ROOT}/gate/line/door/{d}/{kind}" for d in ("in", "out") for kind in ("person", "car")}
    zones = {f"{ROOT}/gate/zone/bay/{d}/car" for d in ("entered", "exited")}
    assert totals == lines | zones
    assert all(listener.last(topic) == "0" for topic in totals)
    assert {c["availability_topic"] for c in told["components"].values()} == {f"{ROOT}/status"}
    switches = [c["command_topic"] for c in told["components"].values() if c["platform"] == "switch"]
    assert switches == [f"{ROOT}/gate/enabled/set"]
    heard = len(listener.of(DISCOVERY)), len(listener.of(TOTAL))
    listener.say("homeassistant/status", "online")
    rig.until(lambda: (len(listener.of(DISCOVERY)), len(listener.of(TOTAL))) > heard)


def test_what_was_removed_is_emptied_at_home_assistant(rig: MqttRig, listener: Listener) -> None:
    rig.start_delivery()
    rig.until(lambda: "exited" in (listener.last(DISCOVERY) or ""))
    rig.rules = {"gate": {**RULES, "zones": []}, "yard": {}}
    rig.tell(rig.assignment(rev=2, config_rev=2))
    rig.until(lambda: "exited_car" in (listener.last(DISCOVERY) or "")
              and '"unique_id":"streamer_' in (listener.last(DISCOVERY) or "")
              and "/zone/bay/" not in (listener.last(DISCOVERY) or ""))  # fmt: skip
    left = json.loads(listener.last(DISCOVERY) or "")["components"]
    assert left[f"streamer_{NODE}_gate_zone_bay_exited_car"] == {"platform": "sensor"}
    rig.cameras = ("yard",)
    rig.tell(rig.assignment(rev=3, config_rev=3))
    rig.until(lambda: listener.last(DISCOVERY) == "")
    assert listener.last(f"{ROOT}/gate/state") == "removed"


def test_states_are_told_once_each_and_a_blind_camera_is_a_problem(rig: MqttRig, listener: Listener) -> None:
    rig.start_delivery()
    rig.until(lambda: "mqtt" in rig.status.get("sinks", {}))
    for _ in range(3):
        rig.tell(CameraStatus("gate", {"state": "live", "enabled": True, "health": None}))
    rig.until(lambda: listener.last(f"{ROOT}/gate/problem") == "OFF")
    rig.tell(CameraStatus("gate", {"state": "live", "enabled": True, "health": {"state": "covered"}}))
    rig.until(lambda: listener.last(f"{ROOT}/gate/problem") == "ON")
    assert listener.of(f"{ROOT}/gate/state") == ["live"]
    rig.tell(CameraStatus("gate", {"state": "disabled", "enabled": False, "health": None}))
    rig.until(lambda: listener.last(f"{ROOT}/gate/enabled") == "OFF")
    rig.until(lambda: listener.last(f"{ROOT}/gate/problem") == "OFF")


def test_a_wrong_password_is_said_and_the_right_one_gets_everything(
    short_dir: Path, mosquitto_binary: str
) -> None:
    passwords = short_dir / "passwords"
    tool = Path(mosquitto_binary).with_name("mosquitto_passwd")
    made = subprocess.run(
        [str(tool) if tool.exists() else "mosquitto_passwd", "-b", "-c", str(passwords), "box", "s3cret"],
        check=True,
    )
    assert made.returncode == 0
    broker = Broker(
        mosquitto_binary, short_dir / "b", free_port(), "allow_anonymous false", f"password_file {passwords}"
    ).start()
    rig = MqttRig(short_dir)
    try:
        rig.sinks = (sink_at(f"mqtt://box:wrong@127.0.0.1:{broker.port}"),)
        rig.start_delivery()
        rig.resume()
        rig.count("gate", 3)
        rig.until(lambda: rig.status.get("sinks", {}).get("mqtt", {}).get("state") == "auth")
        assert "wrong" not in json.dumps(rig.status)
        rig.sinks = (sink_at(f"mqtt://box:s3cret@127.0.0.1:{broker.port}"),)
        rig.tell(rig.assignment(rev=2))
        rig.until(rig.all_delivered)
        listener = Listener(broker.port, username="box", password="s3cret")
        listener.until(lambda: listener.last(TOTAL) == "3")  # retained
        listener.close()
    finally:
        rig.close()
        broker.kill()


def test_tls_with_a_certificate_of_ours_works_and_an_unknown_ca_is_refused(
    short_dir: Path, mosquitto_binary: str
) -> None:
    authority, stranger = Authority(short_dir / "ca"), Authority(short_dir / "other")
    cert, key = authority.sign("localhost", "IP:127.0.0.1,DNS:localhost")
    own_cert, own_key = authority.sign("box", "DNS:box", key_password="k3y")
    tls = (f"cafile {authority.ca}", f"certfile {cert}", f"keyfile {key}", "require_certificate true")
    broker = Broker(mosquitto_binary, short_dir / "b", free_port(), *tls).start()
    rig = MqttRig(short_dir)
    url = f"mqtts://127.0.0.1:{broker.port}"
    files = {"url": url, "tls_cert": str(own_cert), "tls_key": str(own_key)}
    try:
        rig.sinks = (sink_at(f"{url}#key_password=k3y", **files, tls_ca=str(stranger.ca)),)
        rig.start_delivery()
        rig.resume()
        rig.count("gate", 3)
        rig.until(lambda: rig.status.get("sinks", {}).get("mqtt", {}).get("state") == "auth")
        assert "is not trusted" in rig.status["sinks"]["mqtt"]["last_error"]
        rig.sinks = (sink_at(f"{url}#key_password=k3y", **files, tls_ca=str(authority.ca)),)
        rig.tell(rig.assignment(rev=2))
        rig.until(rig.all_delivered)
    finally:
        rig.close()
        broker.kill()


def test_an_order_that_cannot_be_understood_or_is_retained_is_counted_and_does_nothing(
    rig: MqttRig, listener: Listener
) -> None:
    rig.start_delivery()
    rig.until(lambda: listener.last(f"{ROOT}/status") == "online")
    listener.say(f"{ROOT}/gate/enabled/set", "maybe")
    rig.until(lambda: rig.status.get("sinks", {}).get("mqtt", {}).get("commands_ignored") == 1)


def test_the_session_is_resumed_with_what_was_ordered_meanwhile(rig: MqttRig, listener: Listener) -> None:
    rig.start_delivery()
    rig.until(lambda: listener.last(f"{ROOT}/status") == "online")
    rig.kill_delivery()
    listener.until(lambda: listener.last(f"{ROOT}/status") == "offline")
    listener.say(f"{ROOT}/gate/enabled/set", "maybe")
    rig.start_delivery()
    rig.until(lambda: rig.status.get("sinks", {}).get("mqtt", {}).get("commands_ignored") == 1)


def test_a_password_in_the_address_and_tls_without_tls_are_refused() -> None:
    for wrong in (
        {"url": "mqtt://u:p@host"}, {"url": "http://host"}, {"url": "mqtt://host#x"},
        {"url": "mqtt://host", "tls_ca": "/ca.crt"}, {"url": "mqtts://host", "tls_key": "/k"},
        {"topic_prefix": "a/#"},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            MqttSettings.model_validate({"kind": "mqtt", **wrong})


def test_free_text_makes_no_level_of_a_topic() -> None:
    assert part("light/heavy +#%") == "light%2Fheavy %2B%23%25"
    topics = Topics("streamer", "n")
    assert topics.total("gate", "line/door/in/3/a/b") == "streamer/n/gate/line/door/in/a%2Fb"
    assert topics.commanded("streamer/n/gate/enabled/set") == "gate"
    assert topics.commanded("streamer/m/gate/enabled/set") is None


def _sibling(ident: str, seq: int) -> str:
    return f"{ident.rsplit('/', 1)[0]}/{seq}"


@pytest.mark.usefixtures("redis_binary")
def test_an_order_switches_a_camera_off_and_on_only_where_commands_are_allowed(
    short_dir: Path, broker: Broker, listener: Listener
) -> None:
    sink = {"kind": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "commands": True}
    camera = {"name": "gate", "url": "synthetic:street", "source": {"fps": 2}}
    daemon = Daemon(short_dir, [camera], inference={"engine": "motion"}, sinks=[sink])
    try:
        daemon.start()
        root = f"streamer/{daemon.status()['node']}"
        listener.until(lambda: listener.last(f"{root}/gate/enabled") == "ON")
        listener.say(f"{root}/gate/enabled/set", "OFF")
        listener.until(lambda: listener.last(f"{root}/gate/enabled") == "OFF")
        assert daemon.camera("gate")["state"] == "disabled"
        listener.say(f"{root}/gate/enabled/set", "ON")
        listener.until(lambda: listener.last(f"{root}/gate/enabled") == "ON")
        listener.say(f"{root}/nobody/enabled/set", "OFF")  # is in the log, and harms nobody
        daemon.wait_for(lambda _: "camera.disable of camera nobody" in daemon.log(), 20, "the refusal")
        document = {**sink, "commands": False}
        settings = yaml.safe_load((daemon.config_dir / "streamer.yaml").read_text())
        (daemon.config_dir / "streamer.yaml").write_text(yaml.safe_dump({**settings, "sinks": [document]}))
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        listener.until(lambda: listener.of(f"{root}/status")[-2:] == ["offline", "online"])
        listener.say(f"{root}/gate/enabled/set", "OFF")
        listener.say(f"{root}/gate/enabled/set", "OFF")
        assert daemon.cli("camera", "set", "gate", "fps=3").returncode == 0  # a later change is through
        assert daemon.camera("gate")["enabled"] is True
    finally:
        daemon.kill()
