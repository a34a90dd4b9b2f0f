"""Events to a Kafka topic: CloudEvents in structured mode by the CloudEvents Kafka binding.

The only file that imports confluent_kafka, which the extra `kafka` installs.

The key is NODE/CAMERA, so that a camera's events share a partition and keep their order. The producer is
idempotent: its own retries write nothing twice. The cursor moves on with delivery reports from all in-sync
replicas, noted in a file of this sink (progress.py); after a kill, or a write whose report never came, events
may come twice, with the same id.

Totals and states are not told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from streamer.errors import ConfigError
from streamer.events.cloudevents import EventId, StoredEvent
from streamer.sinks.base import EventsOnly, Kind, SinkError, SinkSettings
from streamer.sinks.progress import Progress
from streamer.sinks.sink_address import NetworkSettings, parse_address

log = logging.getLogger(__name__)

PORTS = {"kafka": 9092, "kafkas": 9093}
CONTENT_TYPE = b"application/cloudevents+json; charset=utf-8"
DELIVERY_S = 4.0  # for librdkafka to deliver, its retries among it
FLUSH_S = 5.0
_MISSING = "the extra kafka is not installed: pip install 'streamer[kafka]'"


class KafkaSettings(NetworkSettings):
    """`url` names one broker or more, with commas between; `kafkas://` is TLS."""

    usual_ports: ClassVar[dict[str, int]] = PORTS
    several_hosts: ClassVar[bool] = True
    topic: str = Field(default="streamer.events", pattern=r"^[A-Za-z0-9._-]+$", max_length=249)
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"

    def fault(self) -> str:
        return super().fault() or ("" if find_spec("confluent_kafka") else _MISSING)


class KafkaSink(EventsOnly):
    """The producer of one node's events. Does not connect before it is used."""

    Settings: ClassVar[type[SinkSettings]] = KafkaSettings

    def __init__(self, settings: KafkaSettings, node: str, address: str) -> None:
        """Raise ConfigError if `address` is none, or the extra is not installed."""
        self.max_events: int | None = None
        self._settings, self._node = settings, node
        self._address = parse_address(address, PORTS, several=True)
        if find_spec("confluent_kafka") is None:
            raise ConfigError(_MISSING)
        self._producer: Any = None
        self._fault: Any = None  # what librdkafka last told of the connection

    def keep_progress(self, path: Path) -> None:
        self._progress = Progress(path)

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        return self._progress.positions(cameras)

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        new = self._progress.admit(camera, after, events)
        if new:
            taken = self._produce(new)
            self._progress.advance(camera, new[taken - 1].id)
        return self._progress.positions([camera])[camera] or events[-1].id

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:  # noqa: ARG002
        """States are not told; once a second librdkafka may say how it is."""
        if self._producer is not None:
            self._producer.poll(0)

    def forget(self, cameras: Sequence[str]) -> None:
        """What was sent is sent again, if the ledger still has it."""
        self._progress.forget(cameras)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()  # what was not reported is sent anew
            self._producer = None
        self._progress.close()

    # ---- the producer

    def _produce(self, events: Sequence[StoredEvent]) -> int:
        """How many, from the first on, were reported as delivered; at least one. Raises SinkError."""
        from confluent_kafka import KafkaException

        errors: list[Any] = [_PENDING] * len(events)
        try:
            producer = self._opened()
            for number, event in enumerate(events):
                self._hand_over(producer, event, number, errors)
            producer.flush(FLUSH_S)
        except (KafkaException, BufferError) as error:
            self._drop()
            raise self._classified(error.args[0] if isinstance(error, KafkaException) else error) from error
        taken = next((number for number, error in enumerate(errors) if error is not None), len(events))
        if taken < len(events):
            self._drop()
        if not taken:
            raise self._classified(errors[0])
        return taken

    def _hand_over(self, producer: Any, event: StoredEvent, number: int, errors: list[Any]) -> None:
        def reported(error: Any, _message: Any) -> None:
            errors[number] = error

        producer.produce(
            self._settings.topic,
            key=f"{self._node}/{event.camera}".encode(),
            value=event.body.encode(),
            headers={"content-type": CONTENT_TYPE},
            on_delivery=reported,
        )

    def _opened(self) -> Any:
        if self._producer is None:
            from confluent_kafka import Producer

            self._fault = None
            self._producer = Producer(self._options(), logger=log)
        return self._producer

    def _drop(self) -> None:
        """Else what waits in it would be written beside what is handed over again."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap.servers": ",".join(self._address.hosts),
            "client.id": f"streamer-{self._node}",
            "enable.idempotence": True,
            "delivery.timeout.ms": int(DELIVERY_S * 1000),
            "socket.connection.setup.timeout.ms": 3000,
            "linger.ms": 5,
            "log_level": 3,
            "error_cb": self._note,
        }
        return options | self._of_tls() | self._of_login()

    def _of_tls(self) -> dict[str, Any]:
        settings, secure = self._settings, self._address.url.startswith("kafkas://")
        given = {
            "ssl.ca.location": settings.tls_ca,
            "ssl.certificate.location": settings.tls_cert,
            "ssl.key.location": settings.tls_key or settings.tls_cert,
            "ssl.key.password": self._address.key_password or None,
        }
        protocol = f"{'sasl_' if self._logs_in else ''}{'ssl' if secure else 'plaintext'}"
        found = {name: str(value) for name, value in given.items() if value is not None}
        return {"security.protocol": protocol, **(found if secure else {})}

    def _of_login(self) -> dict[str, Any]:
        if not self._logs_in:
            return {}
        return {
            "sasl.mechanism": self._settings.sasl_mechanism,
            "sasl.username": self._address.username or "",
            "sasl.password": self._address.password or "",
        }

    @property
    def _logs_in(self) -> bool:
        return self._address.username is not None or self._address.password is not None

    def _note(self, error: Any) -> None:
        self._fault = error

    def _classified(self, error: Any) -> SinkError:
        """By librdkafka's code; where no report came in time, by what it said last."""
        from confluent_kafka import KafkaError

        waited = error is _PENDING or (
            isinstance(error, KafkaError)
            and error.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE)
        )
        cause = self._fault if waited and self._fault is not None else error
        code = cause.code() if isinstance(cause, KafkaError) else None
        kinds: dict[Any, Kind] = {
            KafkaError._AUTHENTICATION: "auth",
            KafkaError._SSL: "auth",
            KafkaError.SASL_AUTHENTICATION_FAILED: "auth",
            KafkaError.TOPIC_AUTHORIZATION_FAILED: "auth",
            KafkaError.CLUSTER_AUTHORIZATION_FAILED: "auth",
            KafkaError.UNKNOWN_TOPIC_OR_PART: "refused",
            KafkaError._UNKNOWN_TOPIC: "refused",
            KafkaError.MSG_SIZE_TOO_LARGE: "refused",
        }
        text = cause.str() if isinstance(cause, KafkaError) else "no report came in time"
        advice = {"auth": "; mend its user, password, TLS files or rights", "refused": "; mend the topic"}
        kind = kinds.get(code, "down")
        said = f"Kafka at {self._address.hosts[0]}: {' '.join(text.split())[:160]}{advice.get(kind, '')}"
        return SinkError(kind, said)


_PENDING = object()  # in a report's place while there is none
