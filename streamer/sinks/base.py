"""What every sink does, and how it fails. A sink is a projection of the ledger that others subscribe to.

The contract, held by tests/contracts/test_sinks.py for each of them:

1. write() adds events in order, each once: what is at or before the sink's own position is skipped.
2. It adds nothing and raises Behind when the sink stands before `after`: something was lost there.
3. It adds nothing and raises SinkError "ahead" when the sink holds a later lineage: another ledger wrote.
4. An error in the middle leaves a clean prefix, and the running totals agree with it.
5. replace_totals() makes the totals exactly what it is given.
6. A camera that was published is one of cameras(), also over a restart of this program, until forget().
7. retire() leaves of the camera's state that it is removed, and leaves its events and totals alone.

5 to 7, and what 4 says of totals, are for a sink that shows totals and states. One that keeps events alone
(jsonl) does nothing when it is asked for more, and its cameras() are none.

write() may take a part of what it is given, from the first event on, and return the place of the last one
that it took: so a call ends in time also where each event takes long.

What a sink may have beside is a protocol of its own below: a place on this machine where it notes how far it
is (where the other side cannot be asked), the rules of the cameras, commands that come back, a report.

Of 5 there is one exception: mqtt keeps a total that has gone, since who adds up its values
must not see it fall.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import Field, model_validator

from pipelines.rules import Name, Strict
from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.camera_term import CameraTerm

if TYPE_CHECKING:
    from pipelines.camera_rules import CameraRules

Kind = Literal[
    "down", "full", "readonly", "auth", "wrong_type", "ahead", "refused", "unread", "rejected", "gone"
]

# kind -> (first pause, longest pause) in seconds. What a person must mend is asked for less often.
PAUSES_S: Mapping[Kind, tuple[float, float]] = {
    "down": (0.05, 2.0),
    "full": (0.5, 10.0),
    "readonly": (0.2, 5.0),
    "auth": (5.0, 60.0),
    "wrong_type": (5.0, 60.0),
    "ahead": (5.0, 60.0),
    "refused": (1.0, 30.0),
    "unread": (0.2, 2.0),  # the sink is well, but the ledger cannot be read
    "rejected": (1.0, 300.0),  # one event is not taken; what becomes of it the sink says
    "gone": (3600.0, 86400.0),  # the other side says that it is there no more
}
ONE_CAMERA: frozenset[Kind] = frozenset({"wrong_type", "ahead", "rejected"})  # the others go on


class SinkSettings(Strict):
    """What the configuration says of every sink; each kind adds its own keys.

    `name` is the sink's own: the ledger keeps under it how far the sink is, and secrets are found by it.
    """

    kind: Name = Field(min_length=1)
    name: Name

    @model_validator(mode="before")
    @classmethod
    def _named_like_its_kind(cls, data: Any) -> Any:
        return {"name": data["kind"], **data} if isinstance(data, dict) and "kind" in data else data

    @property
    def address(self) -> str:
        """The URL that credentials are put into; "" where there is none, or the daemon provides it."""
        return ""

    def completed(self, address: str, key_password: str | None) -> str:  # noqa: ARG002
        """`address`, from wherever it is, with what these settings and the password of a key add to it."""
        return address

    @property
    def own(self) -> str:
        """What no second sink may write to; "" where several may share it."""
        return ""

    @property
    def rebuilds(self) -> bool:
        """Whether what it holds of a camera can be deleted and written anew."""
        return False

    def signed(self, address: str, secret: str) -> str:  # noqa: ARG002
        """`address` with the secret that what is sent is signed with; as it is where nothing is signed."""
        return address

    def for_sentinels(self, address: str, username: str | None, password: str | None) -> str:  # noqa: ARG002
        """`address` with the login at those who know where it leads; as it is where nobody is asked."""
        return address

    def fault(self) -> str:
        """What on this machine keeps the sink from being written, as far as looking tells; "" for nothing."""
        return ""


class SinkError(Exception):
    """Raised when a sink does not take what it is given; the text is one line and says what to do.

    `pause_s` is for how long the other side asked to be left alone, where it did.
    """

    def __init__(self, kind: Kind, text: str, pause_s: float = 0.0) -> None:
        super().__init__(text)
        self.kind = kind
        self.pause_s = pause_s


class Behind(Exception):
    """Raised when the sink has lost what it had: it stands at `at` (None: empty)."""

    def __init__(self, at: EventId | None) -> None:
        super().__init__(f"the sink stands at {at}")
        self.at = at


class Sink(Protocol):
    """For one thread. Every call ends within a few seconds, whatever the other side does."""

    max_events: int | None  # kept of a camera; where it is given, older ones need not be sent at all

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        """The last event that the sink has, or ever had, of each camera. Raises SinkError."""

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        """Add `events`, which follow the place `after`; return the new position.

        Raises Behind, SinkError.
        """

    def replace_totals(self, camera: str, totals: Mapping[str, int], at: EventId | None) -> None:
        """Set the running totals as they stood at `at`. Raises SinkError."""

    def publish(self, states: Mapping[str, Mapping[str, str]]) -> None:
        """Write each camera's state for people and programs to see. Raises SinkError."""

    def cameras(self) -> set[str]:
        """The cameras of this node that the sink tells of, also those of earlier times. Raises SinkError."""

    def retire(self, states: Mapping[str, Mapping[str, str]]) -> None:
        """These fields become all there is of the state of cameras that were removed. Raises SinkError."""

    def forget(self, cameras: Sequence[str]) -> None:
        """Delete all there is of these cameras. Raises SinkError."""

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""


class EventsOnly:
    """What a sink inherits that shows no totals and no states."""

    def replace_totals(self, camera: str, totals: Mapping[str, int], at: EventId | None) -> None:
        """Not told."""

    def cameras(self) -> set[str]:
        return set()  # of no camera a state is told that could be out of date

    def retire(self, states: Mapping[str, Mapping[str, str]]) -> None:
        """Not told."""


@runtime_checkable
class KeepsProgress(Protocol):
    """A sink whose other side cannot be asked what it has."""

    def keep_progress(self, path: Path) -> None:
        """Note in the file `path`, which is this sink's alone, how far it is. Called once, before any use."""


@runtime_checkable
class ShowsRules(Protocol):
    """A sink that shows what there is to count before anything was counted."""

    def describe(self, cameras: Mapping[str, CameraRules]) -> None:
        """These are the cameras and their rules from now on. Called from any thread; takes no time."""


@runtime_checkable
class KnowsTerms(Protocol):
    """A sink that keeps what cameras of a site made by the terms in which they made it."""

    def know_terms(self, terms: Mapping[str, Sequence[CameraTerm]]) -> None:
        """By camera the terms of its site that this box had, the newest last, also of cameras that are gone.
        Called from any thread; takes no time."""


@runtime_checkable
class TakesCommands(Protocol):
    """A sink through which cameras may be turned on and off."""

    def obey_with(self, command: Callable[[str, bool], None]) -> None:
        """Call `command(camera, enabled)` for what comes; it takes no time. Called once, before any use."""


@runtime_checkable
class Gathers(Protocol):
    """A sink that waits for several events to send them at once."""

    def due(self, camera: str, events: Sequence[StoredEvent]) -> bool:
        """Whether these, the next of `camera`, are to be written now; asked again within a second. Not asked
        when the daemon stops: then all is written. Takes no time."""


@runtime_checkable
class Reports(Protocol):
    """A sink with more to tell in `streamer status`."""

    def report(self) -> Mapping[str, Any]:
        """Plain JSON. Called from any thread; takes no time."""
