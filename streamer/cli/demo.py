"""`streamer demo`: the whole system as a user would run it, in a folder of its own, for a minute.

A private Redis, the daemon as a child process, the built-in scene as a live camera that is added through
the command line, and tables fed by what arrives on the Redis stream, with the scene's truth beside them: who
crossed the line, and who ran, loitered or fell.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from pipelines.rules import LineSpec
from streamer.cli.click_types import Finite
from streamer.cli.demo_actions import ActionBoard
from streamer.cli.demo_board import Board, Truth
from streamer.cli.demo_stage import EventReader, Stage, follow, user_models
from streamer.config.store import ConfigStore
from streamer.errors import Exit, SourceError, StreamerError
from streamer.models.model_handle import ModelHandle
from streamer.models.store import ModelStore
from streamer.sources.synthetic import Scene
from streamer.sources.synthetic.acts import ActTruth

CAMERA = "demo"
SCENE = Scene(seed=3, width=640, height=360, fps=12.0, density=0.7, mast=8.0, acts=0.4)
PACKAGED_NOTE = ": small, and its card (docs/models/default.md) says what it misses"
NO_MODELS = Path("/nonexistent")
SETTLE_S = 2.0  # after the first inferred frame: the background is learnt, the first tracks are sure
DRAIN_S = 2.5  # at the end, for what has just happened to be counted and to arrive
FIRST_FRAME_S = 60.0  # a model may have to be compiled first
REPORT_EVERY_S = 5.0  # where there is no terminal
CLIP_LINES = (
    LineSpec(
        name="upright", points=((0.5, 0.0), (0.5, 1.0)), left_to_right="leftwards", right_to_left="rightwards"
    ),
    LineSpec(
        name="level", points=((0.0, 0.6), (1.0, 0.6)), left_to_right="downwards", right_to_left="upwards"
    ),
)


@click.command()
@click.option(
    "--seconds",
    "--duration",
    type=Finite(5, 86400),
    default=60.0,
    show_default=True,
    help="How long.",
)
@click.option("--clip", type=click.Path(path_type=Path), help="Your own video instead of the built-in scene.")
@click.option("--model", help="A model file, the name of an installed one, or motion; else the default one.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=SCENE.seed, help="Another scene.")
@click.pass_obj
def demo(store: ConfigStore, seconds: float, clip: Path | None, model: str | None, seed: int) -> int:
    """Show the whole system at work: scene or clip, daemon, counts, Redis. Needs no configuration."""
    if clip is not None and not clip.is_file():
        raise SourceError(f"{clip}: no such file: check the path")
    scene = replace(SCENE, seed=seed) if clip is None else None
    look = _choose(store, model)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also then the daemon is stopped
    with Stage(bucket_s=5 if seconds >= 20 else 1, models=look.models) as stage:
        try:
            return _play(stage, scene, clip, look, seconds)
        except KeyboardInterrupt:
            click.echo("\nstopping", err=True)
            stage.stop()
            raise


@dataclass(frozen=True)
class Look:
    """What looks at the pictures: a file to install, or a model that is there; neither: motion.

    `models` is the user's own store, where it is used; `named` what the command line says of it.
    """

    file: Path | None
    chosen: ModelHandle | None
    models: Path | None
    named: list[str]

    @property
    def motion(self) -> bool:
        return self.file is None and self.chosen is None

    @property
    def actions(self) -> bool:
        """Whether it knows people, of whom the model of actions tells what they do."""
        return self.chosen is not None and "person" in self.chosen.card.classes.values()


def _choose(store: ConfigStore, model: str | None) -> Look:
    """Raises ModelError where there is no such model."""
    if model is not None and Path(model).is_file():
        return Look(Path(model).absolute(), None, None, [])
    models = user_models(store)
    chosen = ModelStore(models or NO_MODELS).resolve(model)
    return Look(None, chosen, models, [] if model is None else ["--model", model])


def _play(stage: Stage, scene: Scene | None, clip: Path | None, look: Look, seconds: float) -> int:
    lines = (scene.line(),) if scene is not None else CLIP_LINES
    look = _prepare(stage, look)
    _say("starting the daemon (supervisor, private Redis, delivery, inference)")
    stage.start()
    url = scene.url if scene is not None else str(clip)
    options = ["--loop"] if clip is not None else []
    options += ["--pipeline", "actions"] if look.actions else []
    _run(stage, "camera", "add", CAMERA, url, *options, *look.named)
    for line in lines:
        points = [f"{x:g},{y:g}" for x, y in line.points]
        names = ["--left-to-right", line.left_to_right, "--right-to-left", line.right_to_left]
        _run(stage, "line", "add", CAMERA, line.name, *points, *names)
    board = Board(
        truth=Truth(scene, lines[0], look.motion) if scene is not None else None,
        actions=ActionBoard(ActTruth(scene) if scene is not None else None) if look.actions else None,
    )
    with contextlib.closing(stage.events(CAMERA)) as reader:
        _wait_for_frames(stage, reader, board)
        _watch(stage, reader, board, seconds)
        until_s = _drain(stage, reader, board)
        board.stream = reader.stream
    _say("stopping the daemon (SIGTERM)")
    code = stage.stop()
    return _conclude(board, code, until_s, stage.log_tail())


def _prepare(stage: Stage, look: Look) -> Look:
    """Install a model given as a file, and say what will look."""
    if look.file is not None:
        _run(stage, "model", "add", str(look.file))
        return replace(look, chosen=ModelStore(stage.models).resolve(None))
    if look.chosen is None:
        _say("the motion detector counts moving objects, whatever they are")
    else:
        _say(f"the detector is {look.chosen.display_name}" + (PACKAGED_NOTE if look.chosen.packaged else ""))
    return look


def _run(stage: Stage, *arguments: str) -> None:
    """Show a command of the user's, run it, and show what it said first."""
    click.secho("$ " + shlex.join(["streamer", *arguments]), fg="cyan")
    for line in stage.streamer(*arguments).splitlines():
        if line.startswith("next:"):
            break  # advice for a person who is not in the middle of a demo
        click.echo("  " + line)


def _say(text: str) -> None:
    click.secho(f"# {text}", dim=True)


def _wait_for_frames(stage: Stage, reader: EventReader, board: Board) -> None:
    """Until the first frame has been inferred, and a little longer; then the comparison begins."""
    deadline_s = time.monotonic() + FIRST_FRAME_S
    seen_s = None
    status: dict[str, object] = {}
    for bodies in follow(reader, deadline_s, stage):
        _take(board, bodies)
        if seen_s is None:
            status = stage.status(CAMERA)
            frames = status.get("frames")
            if isinstance(frames, dict) and frames.get("inferred", 0) > 0:
                seen_s = time.monotonic()
        elif time.monotonic() - seen_s >= SETTLE_S and board.start_wall_ns is not None:
            break
    else:
        raise StreamerError(f"no frame was inferred within {FIRST_FRAME_S:.0f} s: {status or 'no status'}")
    board.from_s = board.media_s(time.time_ns())
    if board.truth is not None:
        board.from_s = board.truth.clear_after(board.from_s)


def _watch(stage: Stage, reader: EventReader, board: Board, seconds: float) -> None:
    """The live table, or a line every few seconds where there is no terminal."""
    console = Console()
    until_s = time.monotonic() + seconds
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for bodies in follow(reader, until_s, stage):
                _take(board, bodies)
                live.update(board.table(time.time_ns(), until_s - time.monotonic()), refresh=True)
        return
    next_s = time.monotonic() + min(REPORT_EVERY_S, seconds / 2)
    for bodies in follow(reader, until_s, stage):
        _take(board, bodies)
        if time.monotonic() >= next_s:
            click.echo(board.line(time.time_ns(), until_s - time.monotonic()))
            next_s += REPORT_EVERY_S


def _drain(stage: Stage, reader: EventReader, board: Board) -> float:
    """Let arrive what has happened; returns the media time up to which counts and truth are compared."""
    end_s = board.media_s(time.time_ns())
    for bodies in follow(reader, time.monotonic() + DRAIN_S, stage):
        _take(board, bodies)
    return board.truth.clear_before(end_s) if board.truth is not None else end_s


def _take(board: Board, bodies: list[str]) -> None:
    now_ns = time.time_ns()
    for body in bodies:
        board.take(body, now_ns)


def _conclude(board: Board, code: int | None, until_s: float, log_tail: str) -> int:
    """The last table, what to do next, and the exit code."""
    Console().print(board.final(until_s))
    if code != 0:
        raise StreamerError(f"the daemon ended with exit code {code} where 0 was due: {log_tail}")
    if board.inferred == 0:
        raise StreamerError("no frame arrived on the Redis stream: run `streamer doctor`")
    click.echo(
        f"{board.inferred} frames inferred, {board.entries} events read from {board.stream}, daemon stopped "
        "with exit code 0\n\n"
        "your own camera:\n"
        "  streamer init                                        write a configuration\n"
        "  streamer model add FILE.onnx                         a better model than the one in the package\n"
        "  streamer camera add door rtsp://USER:PASS@HOST/PATH  look at it, and save it\n"
        "  streamer camera snapshot door --overlay              a picture with a grid, to draw by\n"
        "  streamer line add door entrance 0.1,0.5 0.9,0.5      count what crosses\n"
        "  streamer run                                         the daemon, until Ctrl-C\n"
        "  streamer events --follow                             what it sees, as it happens"
    )
    return Exit.OK
