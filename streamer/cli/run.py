"""`streamer run`: the daemon in the foreground, or with --check only what would keep it from running."""

from __future__ import annotations

import click

from streamer import topology
from streamer.changes import check_camera, pipeline_of
from streamer.config import CameraConfig, Config
from streamer.config_store import ConfigStore
from streamer.errors import Exit
from streamer.models import ModelStore
from streamer.secrets import SecretStore


@click.command()
@click.option(
    "--check", is_flag=True, help="Check configuration and environment, print the topology, and end."
)
@click.pass_obj
def run(store: ConfigStore, check: bool) -> int:
    """Run the daemon in the foreground, until Ctrl-C or SIGTERM."""
    if check:
        return _check(store)
    from streamer import supervisor  # the daemon's own imports, which no other command needs

    return int(supervisor.run(store))


def _check(store: ConfigStore) -> int:
    """Raises what is wrong with the configuration; returns the exit code for the environment."""
    from streamer.doctor.site import SITE_CHECKS

    config = store.load()
    secrets = SecretStore(store)
    models = ModelStore(config.state_path / "models")
    secrets.redis_url(config)
    for camera in config.cameras:
        check_camera(config, camera)
        secrets.url(camera)
    for model in sorted({camera.model for camera in config.cameras if camera.model}):
        models.check_file(model)
    click.echo(f"configuration {store.file}: valid, {len(config.cameras)} cameras")
    _print_plan(config)
    failed = False
    for look in SITE_CHECKS:
        for found in look(store, config):
            if found.level == "ok":
                continue
            failed = failed or found.level == "fail"
            advice = f" ({found.advice})" if found.advice else ""
            click.echo(f"{found.level}: {found.name}: {found.text}{advice}", err=True)
    if failed:
        click.secho("error: the daemon cannot run like this; see above", fg="red", err=True)
    return Exit.FAILED if failed else Exit.OK


def _model_of(config: Config, camera: CameraConfig) -> str:
    spec = pipeline_of(camera)
    engine = spec.detector if spec.detector != "auto" else config.inference.engine
    _, model = ModelStore(config.state_path / "models").choose(engine, camera.model or spec.model)
    return f"model {model.shown}" if model is not None else "motion detector"


def _print_plan(config: Config) -> None:
    plan = topology.plan(config)
    click.echo(f"state   {config.state_path}")
    click.echo(f"runtime {config.runtime_path}")
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
