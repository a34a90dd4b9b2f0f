"""`--people`: whether people are shown in the pictures that a command writes, and what hides them."""

from __future__ import annotations

from typing import get_args

import click

from pipelines.spec import PipelineSpec, preset
from pipelines.values import Image
from streamer.api.callers import check_role, this_user
from streamer.cli.clip_arguments import chosen_detector
from streamer.clips.people import PeopleHider, people_classes
from streamer.config.schema import CameraConfig, Config, People
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.models.camera_check import pipeline_of
from streamer.models.model_handle import PACKAGED

people_option = click.option(
    "--people",
    type=click.Choice(get_args(People)),
    help="How people look in pictures that are written.  [default: privacy.people of streamer.yaml]",
)


def chosen_people(store: ConfigStore, asked: People | None) -> People:
    """What is asked for, else the site's. Raises ControlError where the site hides people, and who runs this
    may not have them shown."""
    config = store.settings() if store.exists() else Config()
    site = config.privacy.people
    if asked == "show" and site != "show":
        check_may_show(store, config, "--people show")
    return asked or site


def people_in(store: ConfigStore, asked: People | None, output: object, option: str) -> People:
    """The same for a command that writes pictures only where `option` gives it an `output`. Raises
    ConfigError where it writes none, and --people is given."""
    if output is not None:
        return chosen_people(store, asked)
    if asked is not None:
        raise ConfigError(f"--people is for {option}, which writes pictures: add it, or leave --people out")
    return "show"


def check_may_show(store: ConfigStore, config: Config, what: str) -> None:
    """Raise ControlError unless who runs this command is an admin, as `control.roles` has it. The
    daemon's own user is who owns its state or its configuration."""
    user = this_user((store.file, config.state_path))
    check_role(user, "admin", config.control, what)


def camera_hider(store: ConfigStore, camera: CameraConfig, people: People) -> PeopleHider | None:
    """What hides people in the camera's pictures, by its own model; None where they are shown."""
    if people == "show":
        return None  # also of a camera whose pipeline nobody knows
    return hider(store, pipeline_of(camera), camera.model, people)


def hider(
    store: ConfigStore, spec: PipelineSpec, model: str | None, people: People, threads: int = 0
) -> PeopleHider | None:
    """What hides people, by the model of a pipeline or, where that knows no people, by the one in the
    package, which is said; None where they are shown. Raises ModelError."""
    if people == "show":
        return None
    detector = chosen_detector(store, spec, model, threads, masks=True)
    if not people_classes(detector.labels).any():
        click.secho(
            f"note: {_name_of(detector.describe())} knows no people: the detector in the package looks for "
            "those to hide; look at what is written before it is passed on",
            fg="yellow",
            err=True,
        )
        detector = chosen_detector(store, preset("default"), PACKAGED, threads)
    return PeopleHider(detector, people)


def _name_of(description: dict[str, object]) -> str:
    return str(description.get("model") or description.get("engine") or "this detector")


def hide_in(image: Image, hider: PeopleHider | None) -> str:
    """Hide people in a picture, in place; what is to be said of it: "; people found and hidden: 3"."""
    return "" if hider is None else f"; people found and hidden: {hider.hide(image)}"
