"""Events to a webhook: CloudEvents over HTTP in structured mode, one a request or in batches, signed by
Standard Webhooks.

Each camera's events are sent in order, the next when the one before was taken (2xx). An event whose answer
was lost is sent again with the same `webhook-id`, which is the event's id. What the server says decides:

- 408, 425, 429, 5xx, no answer: the whole sink waits, with back-off, and as long as Retry-After says.
- 401, 403, 404, 405, 407 and a redirect to elsewhere: about the address, not the event; the sink waits.
- 410: gone; it is asked again after hours alone.
- any other 4xx: about this event. Its camera waits; after `max_tries` it is a dead letter, kept and shown.

With `batch` several events of one camera are sent at once, in the JSON batch format of CloudEvents, once
there are as many or the first has waited for `batch_wait_s`. What the server says is about all of them, but
for a 4xx about events: that does not say which one. Then each is sent by itself (a batch of one), in order,
so that the one that is refused is found and the others are taken. Some may come twice so, with the same ids.

Totals and states are not told.
"""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

from pydantic import Field

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.sinks.base import EventsOnly, SinkError, SinkSettings
from streamer.sinks.dead_letters import DeadLetters
from streamer.sinks.http_post import Answer, NotSent, Poster
from streamer.sinks.progress import Progress
from streamer.sinks.signatures import signature_headers, signing_keys
from streamer.sinks.sink_address import (
    SECRET,
    NetworkSettings,
    parse_address,
    tls_failure,
    with_secret,
)

PORTS = {"https": 443, "http": 80}
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8"
MAX_BATCH = 200  # events: so many are read from the ledger at a time
WRITE_S = 3.0  # for the events of one write: what is left comes with the next
MAX_REDIRECTS = 3
_WAIT = frozenset({408, 425, 429})
_ADDRESS = frozenset({401, 403, 404, 405, 407})
_REFUSED_US = frozenset({401, 403, 407})


class WebhookSettings(NetworkSettings):
    """`max_tries`: so often is an event sent that is refused for its own sake. `batch`: events of a camera in
    one request; `batch_wait_s`: for how long fewer wait for others."""

    usual_ports: ClassVar[dict[str, int]] = PORTS
    timeout_s: float = Field(default=5.0, ge=0.5, le=30)
    max_tries: int = Field(default=10, ge=1, le=1000)
    batch: int = Field(default=1, ge=1, le=MAX_BATCH)
    batch_wait_s: float = Field(default=1.0, ge=0, le=300)

    def signed(self, address: str, secret: str) -> str:
        signing_keys(secret)
        return with_secret(address, SECRET, secret)


class WebhookSink(EventsOnly):
    """The sender to one address. Does not connect before it is used."""

    Settings: ClassVar[type[SinkSettings]] = WebhookSettings

    def __init__(self, settings: WebhookSettings, node: str, address: str) -> None:
        """Raise ConfigError if `address` is none."""
        self.max_events: int | None = None
        self._settings, self._node = settings, node
        self._address = parse_address(address, PORTS)
        parts = urlsplit(self._address.url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._keys = signing_keys(self._address.secret)
        self._poster: Poster | None = None
        self._dead_count = 0
        self._batches_refused = 0
        self._waiting: dict[str, tuple[EventId, float]] = {}  # camera: what waits first, and since when

    def keep_progress(self, path: Path) -> None:
        self._progress = Progress(path)
        self._dead = DeadLetters(self._progress)

    def report(self) -> Mapping[str, Any]:
        return {"dead_letters": self._dead_count, "batches_refused": self._batches_refused}

    def due(self, camera: str, events: Sequence[StoredEvent]) -> bool:
        first, now_s = events[0].id, time.monotonic()
        if self._waiting.get(camera, (None,))[0] != first:
            self._waiting[camera] = first, now_s
        waited_s = now_s - self._waiting[camera][1]
        return len(events) >= self._settings.batch or waited_s >= self._settings.batch_wait_s

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        return self._progress.positions(cameras)

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        new = self._progress.admit(camera, after, events)
        done: EventId | None = None
        end_s = time.monotonic() + WRITE_S
        try:
            for at in self._delivered(new):
                done = at
                if time.monotonic() >= end_s:
                    break
        finally:
            if done is not None:
                self._progress.advance(camera, done)
        return self._progress.positions([camera])[camera] or events[-1].id

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:  # noqa: ARG002
        """States are not told; once a second is when dead letters are sent that a person asked for."""
        end_s = time.monotonic() + WRITE_S
        for letter in self._dead.all(retry_only=True):
            refusal = self._refusal(letter.event, self._post([letter.event]))
            if refusal is None:
                self._dead.delivered(letter)
            elif refusal.kind == "rejected":
                self._dead.refused_again(letter, str(refusal))
            else:
                raise refusal
            if time.monotonic() >= end_s:
                break
        self._dead_count = self._dead.count()

    def forget(self, cameras: Sequence[str]) -> None:
        """What was sent is sent again, if the ledger still has it."""
        self._progress.forget(cameras)

    def close(self) -> None:
        if self._poster is not None:
            self._poster.close()
            self._poster = None
        self._progress.close()

    # ---- several events

    def _delivered(self, events: Sequence[StoredEvent]) -> Iterator[EventId]:
        """Send `events`; yields the last that is done whenever there are more. Raises SinkError.

        What is left beyond whole batches waits for others, unless it is all there is: then it has waited.
        """
        size = self._settings.batch
        whole = len(events) - len(events) % size or len(events)
        for begin in range(0, whole, size):
            batch = events[begin : begin + size]
            if len(batch) > 1 and self._takes(batch):
                yield batch[-1].id
                continue
            for event in batch:
                self._deliver(event)
                yield event.id

    def _takes(self, batch: Sequence[StoredEvent]) -> bool:
        """Whether the batch was taken as a whole; if not, one of its events is refused. Raises SinkError."""
        if self._dead.was_refused(batch[0]):
            return False
        refusal = self._refusal(batch[0], self._post(batch))
        if refusal is None:
            return True
        if refusal.kind != "rejected":
            raise refusal
        self._batches_refused += 1
        return False

    # ---- one event

    def _deliver(self, event: StoredEvent) -> None:
        """Returns when it was taken, or buried. Raises SinkError."""
        refusal = self._refusal(event, self._post([event]))
        if refusal is None:
            return
        if refusal.kind != "rejected":
            raise refusal
        tries, first_ns = self._dead.note_refusal(event)
        if tries < self._settings.max_tries:
            raise SinkError(
                "rejected", f"{refusal} (try {tries} of {self._settings.max_tries})", refusal.pause_s
            )
        self._dead.bury(event, str(refusal), tries, first_ns)
        self._dead_count += 1

    def _post(self, events: Sequence[StoredEvent]) -> Answer:
        """The last answer, after redirects within the same server. Raises SinkError."""
        text, path = ",".join(event.body for event in events), self._path
        body = (text if self._settings.batch == 1 else f"[{text}]").encode()
        ident = self._ident(events)
        headers = {**self._headers(), **signature_headers(self._keys, ident, int(time.time()), body)}
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._exchange(path, body, headers)
            if answer.status not in (307, 308):
                return answer
            path = self._redirected(path, answer.headers.get("location", ""))
        raise SinkError("refused", f"{self._whom} redirects in a circle: mend the sink's url")

    def _ident(self, events: Sequence[StoredEvent]) -> str:
        """The event's id, of several FIRST-LAST: the same whenever the same is sent again."""
        first, last = events[0], events[-1]
        ident = f"{self._node}/{first.camera}/{first.id.lineage}/{first.id.seq}"
        return ident if len(events) == 1 else f"{ident}-{last.id.seq}"

    def _headers(self) -> dict[str, str]:
        kind = CONTENT_TYPE if self._settings.batch == 1 else BATCH_TYPE
        headers = {"content-type": kind, "user-agent": f"streamer/{version('streamer')}"}
        if self._address.username is not None or self._address.password is not None:
            pair = f"{self._address.username or ''}:{self._address.password or ''}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            return self._opened().post(path, body, headers, self._settings.timeout_s)
        except ssl.SSLError as error:
            raise tls_failure(error, self._whom) or SinkError("down", str(error)) from error
        except NotSent as error:
            raise SinkError("down", f"{self._whom} {error}") from error

    def _opened(self) -> Poster:
        if self._poster is None:
            secure = self._address.url.startswith("https://")
            context = self._settings.tls_context(self._address.key_password) if secure else None
            self._poster = Poster(self._address.host, self._address.port, context)
        return self._poster

    def _redirected(self, path: str, location: str) -> str:
        """The path to go on with. Raises SinkError for another server: what is signed is for this one."""
        own = urlsplit(urljoin(self._address.url, path))
        target = urlsplit(urljoin(own.geturl(), location))
        if not location or (target.scheme, target.netloc) != (own.scheme, own.netloc):
            raise SinkError(
                "refused",
                f"{self._whom} redirects to another server, which is not followed: mend the sink's url",
            )
        return (target.path or "/") + (f"?{target.query}" if target.query else "")

    @property
    def _whom(self) -> str:
        return f"the webhook at {self._address.host}:{self._address.port}"

    def _refusal(self, event: StoredEvent, answer: Answer) -> SinkError | None:
        """What the answer means; None where the event was taken."""
        status, pause_s = answer.status, _retry_after_s(answer.headers.get("retry-after", ""))
        if 200 <= status < 300:
            return None
        said = f"{self._whom} answers {status}"
        if status == 410:
            return SinkError(
                "gone", f"{said}, gone: it wants no more events; remove the sink, or mend its url"
            )
        if status in _REFUSED_US:
            return SinkError("auth", f"{said}: mend its user, password or signing_secret", pause_s)
        if status in _ADDRESS or 300 <= status < 400:
            return SinkError("refused", f"{said}: mend the sink's url", pause_s)
        if status >= 500 or status in _WAIT:
            return SinkError("down", f"{said}: events wait", pause_s)
        return SinkError("rejected", f"camera {event.camera}: {said} to event {event.id}", pause_s)


def _retry_after_s(text: str) -> float:
    """Seconds, also of a date; 0 where it says nothing that is understood."""
    if text.strip().isdecimal():
        return float(text.strip()[:9])
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
