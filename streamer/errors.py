"""Every error a user can meet, and the exit codes they end in.

One root exception. The text of an error is one line that says what is wrong and what to do next.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal


class Exit(IntEnum):
    """Named exit codes of the `streamer` command (docs/reference/exit-codes.md)."""

    OK = 0
    FAILED = 1  # something went wrong that has no code of its own
    USAGE = 2  # click's own: unknown option, missing argument
    CONFIG = 3  # the configuration or a name, point or rule in it is not valid
    SOURCE = 4  # a camera or clip cannot be reached, opened or decoded
    MODEL = 5  # a model is missing, damaged, changed or not understood
    STORAGE = 6  # disk, shared memory or ledger: full, unreadable, not writable
    REDIS = 7  # Redis cannot be started, reached or used
    RUNNING = 8  # another daemon runs already, or none does where one is needed
    CONTROL = 9  # the daemon refused a change
    CAPACITY = 10  # out of descriptors, processes or memory
    GATE = 11  # an evaluation did not reach what --gate asks for


def one_line(text: str) -> str:
    """Without what would break a line, or steer a terminal: a name or path may hold anything."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _UNPRINTABLE for c in text)


_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


class StreamerError(Exception):
    """The root: raised for anything a user can meet. `exit_code` is what the command ends in."""

    exit_code: Exit = Exit.FAILED

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(StreamerError):
    """Raised when a configuration, name or rule is refused; the text names file, line and key."""

    exit_code = Exit.CONFIG


class SourceError(StreamerError):
    """Raised when a source cannot be opened or read. `state` is the camera state it leads to."""

    exit_code = Exit.SOURCE
    state: Literal["unreachable", "auth_failed", "stalled", "ended"] = "unreachable"


class AuthFailed(SourceError):
    """Raised when a camera refuses the credentials; retried with a long pause, to lock nobody out."""

    state = "auth_failed"


class AuthUnknown(AuthFailed):
    """Raised when a camera asks for a way of authentication that is not known here."""


class NoSuchStream(SourceError):
    """Raised when the stream that was asked for by its number is no video of this source."""


class StreamNotFound(SourceError):
    """Raised when a camera answers, but has no video at the path that was asked for."""


class PortClosed(SourceError):
    """Raised when a host answers, but nothing that speaks RTSP listens on the port."""


class SourceStalled(SourceError):
    """Raised when a source passes its deadline without a frame."""

    state = "stalled"


class SourceDamaged(SourceError):
    """Raised when a clip or stream cannot be decoded: empty, truncated, no video, not a video."""

    state = "unreachable"


class SourceRefused(SourceError):
    """Raised when a source is not read because of what it is or leads to; the text says what to change."""


class SourceEnded(SourceError):
    """Raised when a file has no more frames and does not loop."""

    state = "ended"


class ModelError(StreamerError):
    """Raised when a model is missing, damaged, changed since it was added, or of an unknown head."""

    exit_code = Exit.MODEL


class StorageError(StreamerError):
    """Raised when the ledger, the state folder or shared memory cannot be used."""

    exit_code = Exit.STORAGE


class RedisError(StreamerError):
    """Raised when Redis cannot be started, reached or refuses what is asked."""

    exit_code = Exit.REDIS


class SiteError(StreamerError):
    """Raised when the cluster of a site cannot be reached, refuses this box, or what it needs is missing."""


class RunningError(StreamerError):
    """Raised when a daemon runs already, or none runs where one is needed."""

    exit_code = Exit.RUNNING


class ControlError(StreamerError):
    """Raised when the daemon refuses a change; nothing was changed."""

    exit_code = Exit.CONTROL


class NoAnswer(ControlError):
    """Raised when the daemon takes a request and does not answer in time: what becomes of it is not known."""


class NotApplied(ControlError):
    """Raised when a change was written and could not be applied, with the exit code of the reason."""

    def __init__(self, reason: StreamerError) -> None:
        super().__init__(
            f"the change is written, but not in force: {reason}; mend that, and `systemctl reload streamer` "
            "(or SIGHUP) tries again"
        )
        self.exit_code = reason.exit_code


class GateNotMet(StreamerError):
    """Raised when an evaluation does not reach its gate; its tables and report are there all the same."""

    exit_code = Exit.GATE


class CapacityError(StreamerError):
    """Raised when descriptors, processes or memory run out."""

    exit_code = Exit.CAPACITY
