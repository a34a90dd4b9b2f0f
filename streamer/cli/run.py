"""`streamer run`: the daemon in the foreground, or with --check only what would keep it from running."""

from __future__ import annotations

from collections.abc import Iterator

import click

from streamer.config.schema import CameraConfig, Config
from streamer.config.secrets import SecretStore
from streamer.config.store import ConfigStore
from streamer.daemon import topology
from streamer.daemon.assignments import loaded_by, looked_at_by
from streamer.errors import ConfigError, Exit, ModelError, StorageError, StreamerError
from streamer.models.camera_check import check_camera, pipeline_of
from streamer.models.store import ModelStore


@click.command()
@click.option(
    "--check", is_flag=True, help="Check configuration and environment, print the topology, and end."
)
@click.pass_obj
def run(store: ConfigStore, check: bool) -> int:
    """Run the daemon in the foreground, until Ctrl-C or SIGTERM."""
    if check:
        return _check(store)
    from streamer.daemon import supervisor  # the daemon's own imports, which no other command needs

    return int(supervisor.run(store))


def _check(store: ConfigStore) -> int:
    """Raises what keeps the daemon from starting; returns the exit code for all else."""
    config, broken = store.load_partly()
    secrets = SecretStore(store, partly=True)
    refusals: list[StreamerError] = [store.with_way_out(path, fault) for path, fault in broken.items()]
    refusals += [*secrets.faults.values(), *_sinks_without_secrets(config, secrets)]
    refusals += [StorageError(f"sink {s.name}: {fault}") for s in config.event_sinks if (fault := s.fault())]
    usable = []
    for camera in config.cameras:
        try:
            pipeline_of(camera)
            secrets.url(camera)
        except ConfigError as refused:
            refusals.append(refused)
            continue
        usable.append(camera)
    config = config.model_copy(update={"cameras": tuple(usable)})
    refusals += _refusals(config)
    counted = "1 fault" if len(refusals) == 1 else f"{len(refusals)} faults"
    verdict = counted if refusals else "valid"
    click.echo(f"configuration {store.file}: {verdict}, {len(config.cameras)} cameras")
    for line in config.advice:
        click.echo(f"note: {line}", err=True)
    _print_plan(config)
    if not _check_site(store, config):
        click.secho("error: the daemon cannot run like this; see above", fg="red", err=True)
        return Exit.FAILED
    if len(refusals) > 1:
        for error in refusals:
            click.secho(f"error: {error}", fg="red", err=True)
        raise type(refusals[0])(
            f"{len(refusals)} faults: the daemon would run, without what is named above until it is mended"
        )
    if refusals:
        raise refusals[0]
    return Exit.OK


def _sinks_without_secrets(config: Config, secrets: SecretStore) -> Iterator[StreamerError]:
    for sink in config.event_sinks:
        try:
            secrets.sink_address(sink)
        except ConfigError as error:
            yield error


def _refusals(config: Config) -> Iterator[StreamerError]:
    """What an inference worker would say of its cameras: all that it loads is loaded here too."""
    # Neither the daemon nor a check that has ended by now needs what computes on pictures.
    from streamer.workers.infer.loader import PipelineLoader, SceneLoader

    state, inference = config.state_path, config.inference
    pipelines = PipelineLoader(state, inference.engine, inference.threads, lambda: None, cache=False)
    scenes = SceneLoader(state, lambda: None)
    tried: dict[str, object] = {"": None}
    for camera in config.cameras:
        try:
            check_camera(config, camera)
        except StreamerError as error:
            yield error
            continue
        detection = pipelines.attempt, loaded_by(camera), ""
        for attempt, spec, about in detection, (scenes.attempt, looked_at_by(camera), "scene: "):
            if camera.enabled and spec not in tried:
                tried[spec] = attempt(spec)
            if isinstance(why := tried.get(spec), str):
                yield ModelError(f"camera {camera.name}: {about}{why}")


def _check_site(store: ConfigStore, config: Config) -> bool:
    """Print what is the matter with this machine; whether the daemon can run on it."""
    from streamer.setup.doctor.installation import (
        SITE_CHECKS,
        check_models,
        check_secret_files,
        check_sinks,
    )

    able = True
    for look in SITE_CHECKS:
        if look in (check_models, check_secret_files, check_sinks):
            continue  # models that are used were loaded; faults of secrets and sinks are among the refusals
        for check in look(store, config):
            if check.level == "ok":
                continue
            able = able and check.level != "fail"
            advice = f" ({check.advice})" if check.advice else ""
            click.echo(f"{check.level}: {check.name}: {check.text}{advice}", err=True)
    return able


def _model_of(config: Config, camera: CameraConfig) -> str:
    spec = pipeline_of(camera)
    engine = spec.detector if spec.detector != "auto" else config.inference.engine
    try:
        _, model = ModelStore(config.state_path / "models").choose(engine, camera.model or spec.model)
    except ModelError:
        return f"model {camera.model or spec.model or 'default'}, which cannot be used"
    return f"model {model.display_name}" if model is not None else "motion detector"


def _print_plan(config: Config) -> None:
    plan = topology.plan(config)
    click.echo(f"state   {config.state_path}")
    click.echo(f"runtime {config.runtime_path}")
    for sink in config.event_sinks:
        click.echo(f"sink    {sink.name:12} {sink.kind:8} {sink.address}".rstrip())
    for worker in plan.workers.values():
        click.echo(f"worker  {worker.name:12} {worker.role:8} {' '.join(worker.cameras)}".rstrip())
    for camera in config.cameras:
        if not camera.enabled:
            click.echo(f"camera  {camera.name:12} disabled")
            continue
        spec = pipeline_of(camera)
        model = _model_of(config, camera)
        rules = camera.rules
        counted = f"{len(rules.lines)} lines, {len(rules.zones)} zones, {len(rules.masks)} masks"
        click.echo(f"camera  {camera.name:12} {camera.url}  pipeline {spec.name}, {model}, {counted}")
