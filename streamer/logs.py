"""Logging for the daemon's processes and the command line: one line a record, no credentials, no floods.

Under systemd each line begins with its syslog level (`<3>`, sd-daemon(3)), and the journal keeps time and
process; elsewhere the line carries both itself.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from datetime import UTC, datetime

log = logging.getLogger(__name__)

FORMAT_VARIABLE = "STREAMER_LOG_FORMAT"
PLAIN = "%(asctime)s.%(msecs)03d %(levelname).1s {process}: %(message)s"
SYSLOG_LEVELS = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}

HIDDEN = "***"
URL_START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# In the midst of a text, of bounded length: else a long word costs its length squared, also the supervisor.
_URL_IN_TEXT = re.compile(r"[A-Za-z0-9+.-]{1,32}://")
_LINE_OR_URL = re.compile(rf"\n|{_URL_IN_TEXT.pattern}")
_SECRET_QUERY = re.compile(
    r"(?i)\b((?:user|usr|username|login|pass|passwd|password|pwd|psw|token|auth|key|secret|sig)=)[^&#;/\s]+"
)


def redact(text: str) -> str:
    """`text` (a URL, or a line with URLs in it) with every credential replaced by `***`.

    Rather too much is hidden than too little: from `://` to the last `@` of the line, or of the part of it
    before the next URL, since a password may hold blanks.
    """
    out: list[str] = []
    place = 0
    for start in _URL_IN_TEXT.finditer(text):
        if start.start() < place:
            continue
        end = _LINE_OR_URL.search(text, start.end())
        at = text.rfind("@", start.end(), end.start() if end else len(text))
        if at >= 0:
            out += [text[place : start.end()], HIDDEN]
            place = at
    out.append(text[place:])
    return _SECRET_QUERY.sub(rf"\g<1>{HIDDEN}", "".join(out))


class RedactingFormatter(logging.Formatter):
    """Hides credentials in the finished line, whatever way they came in: arguments or tracebacks."""

    def __init__(self, fmt: str, journal: bool = False) -> None:
        super().__init__(fmt, datefmt="%Y-%m-%dT%H:%M:%S")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        if not self._journal:
            return text
        prefix = f"<{SYSLOG_LEVELS.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, process, camera where the record is about one, message, and
    exception where there is one. Every text in it is redacted."""

    def __init__(self, process: str, journal: bool = False) -> None:
        super().__init__()
        self._process, self._journal = process, journal

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        said = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "camera": _camera_of(record),
            "message": redact(record.getMessage()),
            "exception": redact(self.formatException(record.exc_info)) if record.exc_info else "",
        }
        text = json.dumps({key: value for key, value in said.items() if value}, ensure_ascii=False)
        return f"<{SYSLOG_LEVELS.get(record.levelno, 6)}>{text}" if self._journal else text


def _camera_of(record: logging.LogRecord) -> str:
    """What a record that begins with `camera NAME` is about; "" for none."""
    about = isinstance(record.msg, str) and record.msg.startswith("camera %s")
    return str(record.args[0]) if about and isinstance(record.args, tuple) and record.args else ""


def choose_format(name: str) -> None:
    """For this process from its next set-up on, and for all that it starts; $STREAMER_LOG_FORMAT goes before
    what is said here."""
    os.environ.setdefault(FORMAT_VARIABLE, name)


def format_in_use() -> str:
    """`text` or `json`."""
    return "json" if os.environ.get(FORMAT_VARIABLE) == "json" else "text"


def setup_daemon(process: str, level: int = logging.INFO) -> None:
    """Log to standard error as `process` (supervisor, capture-0, …), in the format that is chosen."""
    journal = under_systemd()
    if format_in_use() == "json":
        _install(JsonFormatter(process, journal), level)
        threading.excepthook = _log_death
        return
    fmt = "{process}: %(message)s" if journal else PLAIN
    _install(RedactingFormatter(fmt.replace("{process}", process), journal), level)
    threading.excepthook = _log_death


def setup_command_line() -> None:
    """Warnings of a command go to standard error as bare lines."""
    _install(RedactingFormatter("%(levelname)s: %(message)s"), logging.WARNING)


def under_systemd() -> bool:
    """Whether standard error is the journal's: $JOURNAL_STREAM holds its device and inode (systemd.exec)."""
    try:
        device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
        found = os.fstat(sys.stderr.fileno())
        return (int(device), int(inode)) == (found.st_dev, found.st_ino)
    except (ValueError, OSError):
        return False


def _log_death(death: threading.ExceptHookArgs) -> None:
    """A thread that ends by an error says so where everything else is said, without credentials."""
    if death.exc_value is not None and not isinstance(death.exc_value, SystemExit):
        name = death.thread.name if death.thread is not None else "a thread"
        log.error("%s has died of an unexpected error", name, exc_info=death.exc_value)


def _install(formatter: logging.Formatter, level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
