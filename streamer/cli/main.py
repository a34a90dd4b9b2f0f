"""The `streamer` command: its table of subcommands, and how an error becomes one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

import click

from streamer import logs
from streamer.cli.lazy_group import Entry, LazyGroup
from streamer.config.store import ConfigStore
from streamer.errors import Exit, StorageError, StreamerError
from streamer.logs import redact

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


COMMANDS = {
    "init": Entry("streamer.cli.init:init", "Write a commented configuration."),
    "demo": Entry("streamer.cli.demo:demo", "Show the whole system on a built-in scene or a clip."),
    "run": Entry("streamer.cli.run:run", "Run the daemon in the foreground."),
    "status": Entry("streamer.cli.status:status", "Show cameras, workers, ledger and sinks of the daemon."),
    "capacity": Entry("streamer.cli.capacity:capacity", "Say what this box carries, and how much more fits."),
    "camera": Entry("streamer.cli.camera:camera", "Add, show, test, change and remove cameras."),
    "line": Entry("streamer.cli.rules:line", "Counting lines of a camera."),
    "zone": Entry("streamer.cli.rules:zone", "Zones of a camera."),
    "mask": Entry("streamer.cli.rules:mask", "Areas of a camera's picture in which nothing is detected."),
    "alert": Entry("streamer.cli.alert:alert", "Rules that raise an alert: what should not happen."),
    "events": Entry("streamer.cli.events:events", "Print events, as they come or from the past."),
    "counts": Entry("streamer.cli.counts:counts", "Print counts by time, line, direction and class."),
    "clip": Entry("streamer.cli.clip:clip", "Clips of events: make one, list, remove."),
    "explain": Entry("streamer.cli.explain:explain", "Tell why an event was made, and what nearly happened."),
    "why": Entry("streamer.cli.explain:explain", "The older name of explain."),
    "recount": Entry("streamer.cli.recount:recount", "Count a line drawn today in the tracks of the past."),
    "audit": Entry("streamer.cli.audit:audit", "Ask a person about some moments: how wrong the counts are."),
    "analyze": Entry("streamer.cli.analyze:analyze", "Count in a clip, without a daemon."),
    "evaluate": Entry("streamer.cli.evaluate:evaluate", "Hold the counts of a clip against the truth."),
    "model": Entry("streamer.cli.model:model", "List, add and verify models."),
    "actions": Entry("streamer.cli.actions:actions", "Train and evaluate models of what people do."),
    "occupancy": Entry("streamer.cli.occupancy:occupancy", "Set how many are inside, as an event."),
    "correct": Entry("streamer.cli.correct:correct", "Correct a count by hand, with a reason, as an event."),
    "ledger": Entry(
        "streamer.cli.ledger:ledger", "Verify, export, replay, back up and prune the durable record."
    ),
    "sink": Entry("streamer.cli.sink:sink", "Events that a sink refused: show, send again, drop."),
    "token": Entry("streamer.cli.token:token", "Tokens for programs that ask over HTTP."),
    "schema": Entry("streamer.cli.schema:schema", "Print the JSON Schemas of the events."),
    "site": Entry("streamer.cli.site:site", "Several boxes that share their cameras."),
    "doctor": Entry("streamer.cli.doctor:doctor", "Check this machine, and say what to mend."),
    "service": Entry("streamer.cli.service:service", "Install the systemd service."),
}


class Failure(click.ClickException):
    """A StreamerError on its way out: one red line and its exit code."""

    def __init__(self, error: StreamerError) -> None:
        super().__init__(redact(" ".join(str(error).split())))
        self.exit_code = int(error.exit_code)  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        click.secho(f"error: {self.format_message()}", fg="red", err=file is None, file=file)


class Misused(click.UsageError):
    """A command line that cannot be read: one line, with where it is said how it is written."""

    def __init__(self, error: click.UsageError) -> None:
        super().__init__(error.format_message(), error.ctx)

    def show(self, file: IO[Any] | None = None) -> None:
        command = self.ctx.command_path if self.ctx is not None else "streamer"
        text = redact(" ".join(self.format_message().split())).rstrip(".")
        line = f"error: {text}: see `{command} --help`"
        click.secho(line, fg="red", err=file is None, file=file)


def _misused(error: click.UsageError) -> click.UsageError:
    """In one line, but where a group was named alone: what is below it is then the answer."""
    return error if isinstance(error, click.exceptions.NoArgsIsHelpError) else Misused(error)


class _Streamer(LazyGroup):
    """The command itself: wherever below it an error of ours ends a command, it ends in one line."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*args, **more)
        except click.UsageError as error:
            raise _misused(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _misused(error) from None
        except (StreamerError, PermissionError) as error:
            if os.environ.get("STREAMER_DEBUG"):
                traceback.print_exc()
            raise Failure(_refused(error) if isinstance(error, PermissionError) else error) from error


def _refused(error: PermissionError) -> StreamerError:
    """Wherever a command meets a file of the service: what it is, and who may read it."""
    return StorageError(
        f"{error.filename or error}: this user may not: use sudo; for the daemon's sockets it is enough to "
        "be in the group streamer (`sudo adduser NAME streamer`, then log in again)"
    )


@click.group(cls=_Streamer, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Folder with streamer.yaml and cameras.d, or a streamer.yaml. "
    "Else $STREAMER_CONFIG, /etc/streamer, ~/.config/streamer.",
)
@click.version_option(version("streamer"), prog_name="streamer")
@click.pass_context
def cli(ctx: click.Context, config_path: Path | None) -> None:
    """Turns cameras into counts and events that survive restarts, reconnects and a dead Redis."""
    logs.setup_command_line()
    ctx.obj = ConfigStore(config_path)


class _Ended(BaseException):
    """Raised in the main thread by a signal that ends the process: what is half written goes first."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def _end(signum: int, _frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_DFL)  # whoever asks twice does not wait
    raise _Ended(signum)


def main(args: list[str] | None = None) -> None:
    """The console script: run, and leave with the exit code (docs/reference/exit-codes.md)."""
    sys.excepthook = _report
    for signum in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is signal.SIG_DFL:  # SIGHUP is not, under nohup
            signal.signal(signum, _end)
    try:
        result = cli.main(args=args, prog_name="streamer", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except _Ended as error:
        os.kill(os.getpid(), error.signum)  # whoever waits for us sees why we end
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # `streamer events | head` has read enough: nothing is left to flush, and nothing to say. click ends
        # with the same code where it sees the broken pipe first.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.FAILED)
    sys.exit(result if isinstance(result, int) else Exit.OK)


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error that is ours: one line for the user, the traceback for who asks for it."""
    if os.environ.get("STREAMER_DEBUG"):
        sys.__excepthook__(kind, error, trace)
        return
    text = redact(" ".join(f"{kind.__name__}: {error}".split()))
    click.secho(f"error: {text} (not expected: STREAMER_DEBUG=1 shows where)", fg="red", err=True)


if __name__ == "__main__":
    main()
