"""Where an audit's questions are shown: a window, the terminal, or nowhere where answers come by a pipe.

A question's frames are shown one after the other, again and again, until a key answers.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Protocol

import click
import cv2
import numpy as np
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

from pipelines.values import Image
from streamer.clips.audit.pictures import decoded
from streamer.errors import ConfigError

FRAME_S = 0.25  # for which each frame is shown: a bucket is played as fast as it was
PAUSE_S = 0.9  # the last one, before it begins again
ENTER, BACKSPACES, INTERRUPT, END_OF_INPUT = ("\r", "\n"), ("\b", "\x7f"), "\x03", "\x04"
TITLE = "streamer audit"
NUMBER = re.compile(r"[0-9]{1,4}")
ESCAPE = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O.)?")  # arrow and function keys
ROWS_OF_TEXT = 3
WINDOW_TIMEOUT_S = 10.0


class Screen(Protocol):
    def ask(self, text: str, jpegs: Sequence[bytes], keys: str, numbers: bool) -> str:
        """One of the `keys`, or a number where `numbers` are answers; "q" at the end of the input."""


class Line:
    """What is typed: a key of `keys` answers at once, a number with Enter."""

    def __init__(self, keys: str, numbers: bool) -> None:
        self._keys, self._numbers = keys, numbers
        self.typed = ""

    def press(self, key: str) -> str | None:
        """The answer, if there is one now. Raises KeyboardInterrupt."""
        if key == INTERRUPT:
            raise KeyboardInterrupt
        if key == END_OF_INPUT:
            return "q"
        if key.lower() in self._keys:
            return key.lower()
        if key in ENTER and self.typed:
            return self.typed
        if key in BACKSPACES:
            self.typed = self.typed[:-1]
        elif self._numbers and key.isascii() and key.isdigit() and len(self.typed) < 4:
            self.typed += key
        return None


class PipedScreen:
    """No terminal: a line of standard input an answer. Questions are told on standard error."""

    def ask(self, text: str, jpegs: Sequence[bytes], keys: str, numbers: bool) -> str:  # noqa: ARG002
        click.echo(text, err=True)
        while True:
            line = sys.stdin.readline()
            if not line:
                return "q"
            answer = line.strip().lower()
            if answer in tuple(keys) or (numbers and NUMBER.fullmatch(answer)):
                return answer
            if answer:
                wanted = "a number, or one of" if numbers else "one of"
                click.echo(f"{answer[:20]!r}: answer with {wanted} {', '.join(keys)}", err=True)


class TerminalScreen:
    """Frames in half blocks, two pixels a character, as large as the terminal is."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    def ask(self, text: str, jpegs: Sequence[bytes], keys: str, numbers: bool) -> str:
        line = Line(keys, numbers)
        with _keys_at_once(), self._console.screen(hide_cursor=True):
            for jpeg, pause_s in _endless(jpegs):
                self._show(text, jpeg, line)
                for key in _pressed(pause_s):
                    answer = line.press(key)
                    if answer is not None:
                        return answer
                    self._prompt(text, line)
        raise AssertionError("the frames have no end")

    def _show(self, text: str, jpeg: bytes | None, line: Line) -> None:
        width, height = self._console.size
        sys.stderr.write("\x1b[H")
        if jpeg is not None:
            self._console.print(half_blocks(decoded(jpeg), width, height - ROWS_OF_TEXT), end="")
        self._prompt(text, line)

    def _prompt(self, text: str, line: Line) -> None:
        row = self._console.size.height - ROWS_OF_TEXT + 1
        sys.stderr.write(f"\x1b[{row};1H\x1b[J{text}\n> {line.typed}")
        sys.stderr.flush()


class WindowScreen:
    """A window of the desktop; keys are pressed in it."""

    def ask(self, text: str, jpegs: Sequence[bytes], keys: str, numbers: bool) -> str:
        click.echo(text, err=True)
        line = Line(keys, numbers)
        cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE)  # also for a question without pictures
        for jpeg, pause_s in _endless(jpegs):
            if jpeg is not None:
                cv2.imshow(TITLE, _large(decoded(jpeg)))
            cv2.setWindowTitle(TITLE, f"{text} > {line.typed}")
            code = cv2.waitKey(round(1000 * pause_s))
            answer = None if code < 0 else line.press(chr(code & 0xFF))
            if answer is not None:
                return answer
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return "q"  # closed
        raise AssertionError("the frames have no end")


def _large(image: Image) -> Image:
    share = max(1.0, 900 / image.shape[1])
    return np.asarray(cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_LINEAR), np.uint8)


def _endless(jpegs: Sequence[bytes]) -> Iterator[tuple[bytes | None, float]]:
    if not jpegs:
        yield from cycle([(None, PAUSE_S)])
    last = len(jpegs) - 1
    yield from cycle([(jpeg, PAUSE_S if i == last else FRAME_S) for i, jpeg in enumerate(jpegs)])


def choose_screen(show: str = "auto") -> Screen:
    """A window where there is a display, else the terminal, else a pipe. Raises ConfigError where the window
    that was asked for cannot be."""
    if not sys.stdin.isatty():
        return PipedScreen()
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if show != "terminal" and display and _opens_window():
        return WindowScreen()
    if show == "window":
        raise ConfigError("no window can be opened here: leave --show out, and the terminal shows pictures")
    return TerminalScreen()


def _opens_window() -> bool:
    """Tried in a process of its own, which a Qt ends that finds no display; OpenCV without windows raises."""
    code = "import cv2; cv2.namedWindow('streamer')"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=WINDOW_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@contextmanager
def _keys_at_once() -> Iterator[None]:
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle, termios.TCSADRAIN)  # what was typed ahead is kept
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def _pressed(wait_s: float) -> list[str]:
    """The keys that came within the time, END_OF_INPUT at the end. Escape sequences are dropped."""
    handle = sys.stdin.fileno()
    ready, _, _ = select.select([handle], [], [], wait_s)
    if not ready:
        return []
    raw = os.read(handle, 64)
    if not raw:
        return [END_OF_INPUT]
    return list(ESCAPE.sub("", raw.decode("utf-8", "ignore")))


def half_blocks(image: Image, columns: int, rows: int) -> Segments:
    """The picture as large as it fits: each character an upper pixel in front of a lower one."""
    share = min(columns / image.shape[1], 2 * rows / image.shape[0])
    width, height = max(1, int(image.shape[1] * share)), max(2, int(image.shape[0] * share) // 2 * 2)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)[:, :, ::-1] // 8 * 8
    segments: list[Segment] = []
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        pairs = zip(upper, lower, strict=True)
        segments += [Segment("▀", Style(color=_rgb(above), bgcolor=_rgb(below))) for above, below in pairs]
        segments.append(Segment.line())
    return Segments(segments)


def _rgb(pixel: Sequence[int]) -> str:
    red, green, blue = pixel
    return f"#{red:02x}{green:02x}{blue:02x}"
