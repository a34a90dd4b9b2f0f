"""The opening of an FFmpeg input, in a thread of its own: it may hang where nothing can wake it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import av
from av.container import InputContainer

from streamer.errors import SourceError, SourceStalled
from streamer.ipc.choices import Decode
from streamer.logs import redact
from streamer.sources.ffmpeg_errors import explain
from streamer.sources.hardware import accelerator
from streamer.sources.packets import FFMPEG_ERRORS
from streamer.sources.read_deadline import rounded

log = logging.getLogger(__name__)

# Pictures larger than 8K are refused by the decoder before it takes memory for them.
MAX_PIXELS = 8192 * 4320
DECODER_OPTIONS = {"max_pixels": str(MAX_PIXELS)}
AFTER_S = 0.5  # FFmpeg's own timeout of an open comes after ours: interrupted, it names any error


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """`url` goes to FFmpeg and may hold credentials; `shown` is what errors call the source.

    `opener` opens it, within the deadline and in a thread of its own; it raises SourceError or what PyAV
    raises. `stream` is the number of the stream to read, None: the video that FFmpeg would take. `look_ahead`
    allows to read on for that choice, which in what is live would cost time. `before_read` is called before
    each packet, `after_read` when it has come.
    """

    url: str = field(repr=False)
    shown: str
    format: str | None
    options: dict[str, str] = field(default_factory=dict, repr=False)
    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    opener: Callable[[OpenRequest], InputContainer] | None = None
    before_read: Callable[[], None] | None = None
    after_read: Callable[[], None] | None = None
    stream: int | None = None
    look_ahead: bool = False
    decode: Decode = "none"
    key_frames_only: bool = False


def open_input(request: OpenRequest) -> InputContainer:
    """Raise what PyAV raises."""
    return av.open(
        request.url,
        format=request.format,
        options={**request.options, **DECODER_OPTIONS},  # finding out what it is decodes as well
        timeout=(request.open_timeout_s + AFTER_S, request.read_timeout_s),
        metadata_errors="replace",
        hwaccel=accelerator(request.decode),
    )


class Opening(threading.Thread):
    """Opens an input; gives it to whoever still wants it, else closes it."""

    def __init__(self, request: OpenRequest, done: threading.Event) -> None:
        super().__init__(name="source-open", daemon=True)
        self._request = request
        self._done = done
        self._lock = threading.Lock()
        self._wanted = True
        self._input: InputContainer | None = None
        self._error: SourceError | None = None

    def run(self) -> None:
        opened: InputContainer | None = None
        try:
            opened = (self._request.opener or open_input)(self._request)
        except SourceError as error:
            self._error = error
        except FFMPEG_ERRORS as error:
            self._error = explain(error, self._request.shown, self._request.open_timeout_s)
        except Exception as error:  # it would be taken for a camera that does not answer
            log.exception("%s: could not be opened", self._request.shown)
            text = redact(str(error))
            self._error = SourceError(f"{self._request.shown}: unexpected {type(error).__name__}: {text}")
        finally:
            with self._lock:
                if self._wanted:
                    self._input = opened
                elif opened is not None:
                    opened.close()
            self._done.set()

    def take(self) -> InputContainer:
        """The opened input. Raise SourceError if there is none."""
        with self._lock:
            self._wanted = False
            if self._input is not None:
                taken, self._input = self._input, None
                return taken
        raise self._error or SourceStalled(
            f"{self._request.shown}: no stream within {rounded(self._request.open_timeout_s)}: "
            "check that it is switched on and reachable"
        )
