"""One MQTT 5 session with a broker, and what of all that was published was acknowledged. The only file that
imports paho.

paho's own thread moves the bytes; this waits for what it reports, each time for a few seconds at most. A
connection that was lost is not mended behind the caller's back: what was on its way is uncertain then, and
the caller asks for a new one and says it again. The session on the broker lasts over that, with what was
sent to us meanwhile.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from streamer.sinks.base import Kind, SinkError
from streamer.sinks.mqtt_settings import MqttSettings
from streamer.sinks.sink_address import SinkAddress, tls_failure

if TYPE_CHECKING:
    from paho.mqtt.client import Client

CONNECT_TIMEOUT_S = 3.0
ACK_TIMEOUT_S = 5.0
GOODBYE_TIMEOUT_S = 1.0
KEEPALIVE_S = 20
SESSION_EXPIRY_S = 3600  # a broker keeps for so long what is sent to us while we are away
MAX_INFLIGHT = 100  # messages without PUBACK; the broker's own limit holds as well
_REFUSED_US = (0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C)  # version, client id, password, rights, ban, method


@dataclass(frozen=True)
class Published:
    """A message. `properties` are MQTT 5 user properties."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str = ""
    properties: Sequence[tuple[str, str]] = ()


class MqttConnection:
    """`status_topic` says "online" while this is connected, else "offline": by the will, also when killed."""

    def __init__(
        self,
        address: SinkAddress,
        settings: MqttSettings,
        client_id: str,
        status_topic: str,
        on_message: Callable[[str, bytes, bool], None],
    ) -> None:
        self._address, self._settings = address, settings
        self._client_id, self._status_topic, self._on_message = client_id, status_topic, on_message
        self._client: Client | None = None
        self._changed = threading.Condition()
        self._connack: Any = None
        self._lost = ""
        self._acks: dict[int, Any] = {}
        self.resumed = False  # the broker still had our session

    @property
    def connected(self) -> bool:
        return self._client is not None and not self._lost

    def connect(self, subscriptions: Sequence[str]) -> None:
        """Connect, subscribe and say "online". Raises SinkError."""
        self.close()
        with self._changed:
            self._connack, self._lost = None, ""
            self._acks.clear()
        client = self._made()
        try:
            self._open(client)
            self._client = client
            client.loop_start()
            self._await_connack()
            if subscriptions:
                self._subscribe(client, subscriptions)
            self.publish([Published(self._status_topic, b"online", retain=True)])
        except SinkError:
            self._drop()
            raise

    def publish(self, messages: Sequence[Published]) -> int:
        """Publish with QoS 1; returns how many, from the first on, were acknowledged in time.

        Raises SinkError where the first of the others was refused, or the connection is lost with none taken.
        """
        client = self._live()
        numbers = [self._send(client, message) for message in messages]
        taken = self._await_acks(numbers)
        if taken < len(messages):
            refusal = self._refusal(numbers[taken], messages[taken])
            if refusal is not None and not taken:
                raise refusal
        with self._changed:
            for number in numbers:
                self._acks.pop(number, None)
        if taken < len(messages):
            lost = self._lost or "acknowledges nothing"
            self._drop()  # else what waits in it would be sent beside what the caller says again
            if not taken:
                raise SinkError("down", f"{self._whom}: {lost}")
        return taken

    def close(self) -> None:
        """Say "offline" and go, as far as that works at once."""
        client, reached = self._client, self.connected
        if client is not None and reached:
            info = client.publish(self._status_topic, b"offline", qos=1, retain=True)
            with self._changed:
                self._changed.wait_for(partial(self._is_settled, info.mid), GOODBYE_TIMEOUT_S)
            client.disconnect()
        self._drop()

    # ---- the client

    @property
    def _whom(self) -> str:
        return f"the MQTT broker {self._address.host}:{self._address.port}"

    def _made(self) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(MAX_INFLIGHT)
        client.will_set(self._status_topic, b"offline", qos=1, retain=True)
        if self._address.username is not None or self._address.password is not None:
            client.username_pw_set(self._address.username or "", self._address.password)
        if self._address.url.startswith("mqtts://"):
            client.tls_set_context(self._settings.tls_context(self._address.key_password))
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_publish, client.on_message = self._acknowledged, self._arrived
        client.on_subscribe = self._subscribed
        return client

    def _open(self, client: Client) -> None:
        lasting = _properties("CONNECT")
        lasting.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            client.connect(
                *(self._address.host, self._address.port, KEEPALIVE_S), clean_start=False, properties=lasting
            )
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and (failed := tls_failure(error, self._whom)):
                raise failed from None
            text = "no such host" if isinstance(error, socket.gaierror) else error
            raise SinkError("down", f"{self._whom} is not reached: {text}") from error

    def _await_connack(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._connack is not None or self._lost, CONNECT_TIMEOUT_S)
            code, lost = self._connack, self._lost
        if code is None:
            raise SinkError("down", f"{self._whom}: {lost or 'does not answer'}")
        if code.is_failure:
            raise self._refused(code, "", "refuses us")

    def _subscribe(self, client: Client, topics: Sequence[str]) -> None:
        _, number = client.subscribe([(topic, 1) for topic in topics])
        if number is None or not self._await_acks([-number]):
            refusal = self._refusal(-(number or 0), Published(", ".join(topics), b""))
            raise refusal or SinkError("down", f"{self._whom}: {self._lost or 'answers no subscription'}")

    def _live(self) -> Client:
        if self._client is None or self._lost:
            raise SinkError("down", f"{self._whom}: {self._lost or 'is not connected'}")
        return self._client

    def _send(self, client: Client, message: Published) -> int:
        properties = _properties("PUBLISH")
        if message.content_type:
            properties.ContentType = message.content_type
        if message.properties:
            properties.UserProperty = list(message.properties)
        try:
            sent = client.publish(
                message.topic, message.payload, qos=1, retain=message.retain, properties=properties
            )
            return int(sent.mid)
        except ValueError as error:  # too long, or a topic that is none
            raise SinkError("refused", f"{message.topic[:80]} cannot be published: {error}") from error

    def _await_acks(self, numbers: Sequence[int]) -> int:
        """How many, from the first on, are acknowledged with success."""
        end_s, taken = time.monotonic() + ACK_TIMEOUT_S, 0
        with self._changed:
            for number in numbers:
                left_s = max(0.0, end_s - time.monotonic())
                self._changed.wait_for(partial(self._is_settled, number), left_s)
                if number not in self._acks or self._acks[number].is_failure:
                    break
                taken += 1
        return taken

    def _is_settled(self, number: int) -> bool:
        return number in self._acks or bool(self._lost)

    def _refusal(self, number: int, message: Published) -> SinkError | None:
        with self._changed:
            code = self._acks.get(number)
        return self._refused(code, message.topic, "does not take") if code is not None else None

    def _refused(self, code: Any, topic: str, what: str) -> SinkError:
        kind: Kind = "auth" if code.value in _REFUSED_US else "refused"
        advice = "; mend its user, password or rights" if kind == "auth" else ""
        return SinkError(kind, f"{self._whom} {what}{f' {topic}' if topic else ''}: {code}{advice}")

    def _drop(self) -> None:
        """Without a goodbye."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    # ---- paho's thread

    def _connected(self, _client: Any, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        with self._changed:
            self._connack, self.resumed = code, bool(flags.session_present)
            self._changed.notify_all()

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        with self._changed:
            self._lost = f"the connection is lost ({code})"
            self._changed.notify_all()

    def _acknowledged(self, _client: Any, _data: Any, number: int, code: Any, _properties: Any) -> None:
        with self._changed:
            self._acks[number] = code
            self._changed.notify_all()

    def _subscribed(self, _client: Any, _data: Any, number: int, codes: Any, _properties: Any) -> None:
        with self._changed:
            self._acks[-number] = next((code for code in codes if code.is_failure), codes[0])
            self._changed.notify_all()

    def _arrived(self, _client: Any, _data: Any, message: Any) -> None:
        self._on_message(message.topic, message.payload, bool(message.retain))


def _properties(packet: str) -> Any:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    made: Any = Properties  # which has no types
    return made(getattr(PacketTypes, packet))
