"""`streamer model collect`: pictures of a camera or a clip to be labelled for `streamer model tune`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click

from pipelines.class_names import find
from pipelines.detect.detector import Detector
from pipelines.train.detector.dataset import CLASSES
from streamer.cli import camera_picture, daemon
from streamer.cli.click_types import Finite, stream_option
from streamer.cli.model.clips import refuse_of_camera, steps
from streamer.cli.model.group import model, model_store
from streamer.cli.output_paths import check_folder
from streamer.cli.people_option import check_may_show
from streamer.config.schema import CameraConfig, Config
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, ModelError
from streamer.models.agreement import detect_all
from streamer.models.collect_images import (
    MAX_WIDTH,
    CollectedImage,
    from_snapshots,
    from_source,
    write_classes,
    write_draft,
    write_picture,
)
from streamer.models.model_handle import open_detector
from streamer.models.sample_frames import SampleFrame, clip_source, shrunk
from streamer.sources.urls import is_generated


@model.command("collect")
@click.argument("what", metavar="CAMERA|CLIP")
@click.option("--every", default=60.0, show_default=True, type=Finite(0.04), help="Seconds.")
@click.option("--count", default=200, show_default=True, type=click.IntRange(1), help="Pictures.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; without it NAME-pictures.")
@click.option("--drafts", is_flag=True, help="Write what the model sees as labels to be corrected.")
@stream_option
@click.option("--model", "name", help="For --drafts; without it the camera's or the default.")
@click.pass_obj
def collect(
    store: ConfigStore,
    what: str,
    every: float,
    count: int,
    out: Path | None,
    drafts: bool,
    stream: int | None,
    name: str | None,
) -> None:
    """Write a picture of a camera (or clip) every so many seconds, to be labelled and given to `model tune`.

    People are in them as they are, whatever privacy.people says: a model learns nothing from what is hidden.
    Through the running daemon, or from the camera itself where none runs. Stop it with Ctrl-C when there are
    enough; what is there stays, and a later call adds to it.
    """
    config, camera = known(store, what)
    if camera is not None:
        refuse_of_camera(camera.name, stream)
    label = camera.name if camera is not None else Path(what).stem
    folder = out or Path(f"{label}-pictures")
    check_folder(folder, ())
    _say_people_are_shown(store)
    if name is not None and not drafts:
        raise ConfigError("--model is for --drafts: add it, or leave --model out")
    detector = None
    if drafts:
        detector = _drafter(store, name or (camera.model if camera is not None else None))
    write_classes(folder, CLASSES)
    written = 0
    with steps() as step:
        counted = step("pictures", count)
        for taken in itertools.islice(_pictures(store, config, camera, (what, stream), every), count):
            path = write_picture(folder, taken)
            if detector is not None:
                (found,) = detect_all(detector, [SampleFrame(shrunk(taken.image), label, 0.0)])
                write_draft(folder, path.stem, found, detector.labels, CLASSES)
            written += 1
            counted(1)
    click.echo(f"wrote {written} pictures to {folder}")
    click.echo(_next_step(label if camera is not None else str(folder), folder, drafts))


def _say_people_are_shown(store: ConfigStore) -> None:
    """Where the site hides people. Raises ControlError where who runs this may not have them shown."""
    config = store.settings() if store.exists() else Config()
    if config.privacy.people != "show":
        check_may_show(store, config, "model collect, which shows people,")
        click.secho(
            f"note: privacy.people is {config.privacy.people}, and pictures to train with show people as "
            "they are: remove them when the model is trained",
            fg="yellow",
            err=True,
        )


def _drafter(store: ConfigStore, wanted: str | None) -> Detector:
    """Raises ModelError, also for a model that sees nothing of what is labelled."""
    engine, chosen = model_store(store).choose("auto", wanted)
    detector = open_detector(engine, chosen)
    seen = detector.labels.names
    if not any(find(name, CLASSES) for name in seen):
        who = chosen.display_name if chosen is not None else "motion"
        raise ModelError(
            f"{who} sees {', '.join(seen[:6])}, and labels are of {', '.join(CLASSES)}: all "
            "drafts would be empty; give another, such as --model default"
        )
    return detector


def known(store: ConfigStore, what: str) -> tuple[Config | None, CameraConfig | None]:
    """The camera of this name, if it is one; else it must be a clip. Raises ConfigError."""
    config, faults = store.load_partly() if store.exists() else (None, {})
    fault = faults.get(store.cameras_dir / f"{what}.yaml")
    if fault is not None:
        raise fault
    camera = config.camera(what) if config is not None else None
    if camera is None and not is_generated(what) and not Path(what).is_file():
        names = ", ".join(c.name for c in config.cameras) if config is not None else ""
        raise ConfigError(f"{what}: neither a clip nor a camera (cameras: {names or 'none'})")
    return config, camera


def _pictures(
    store: ConfigStore,
    config: Config | None,
    camera: CameraConfig | None,
    clip: tuple[str, int | None],
    every_s: float,
) -> Iterator[CollectedImage]:
    """Of the camera, or of a clip's stream."""
    if camera is None or config is None:
        what, stream = clip
        return from_source(clip_source(what, stream), Path(what).stem, every_s, numbered=True)
    if camera.enabled and daemon.status(config) is not None:

        def missed(text: str) -> None:
            click.secho(f"note: a picture was missed: {text}", fg="yellow", err=True)

        wanted = camera
        return from_snapshots(
            lambda: camera_picture.picture(store, config, wanted, MAX_WIDTH), camera.name, every_s, missed
        )
    return from_source(camera_picture.open_source(store, camera), camera.name, every_s, numbered=False)


def _next_step(what: str, folder: Path, drafts: bool) -> str:
    how = f"correct the labels of {folder / 'drafts'}" if drafts else "label every person and vehicle in them"
    return (
        f"next: {how}, as YOLO text (STEM.txt) in {folder}, then\n"
        f"  streamer model tune {what} --labels {folder}"
    )
