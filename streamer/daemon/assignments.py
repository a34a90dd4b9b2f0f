"""What each worker is told to do, worked out from the configuration in force, and what follows when it has
ended: the functions that topology.PROCESSES names."""

from __future__ import annotations

import json

from pipelines.camera_rules import in_timezone
from pipelines.defaults import with_defaults
from pipelines.spec import PipelineSpec
from streamer.config.schema import CameraConfig, Config
from streamer.config.secrets import SecretStore
from streamer.daemon import redis_server
from streamer.daemon.process_spec import Site, WorkerSpec
from streamer.errors import ConfigError
from streamer.ipc.clip_messages import ClipAssignment
from streamer.ipc.messages import (
    ApiAssignment,
    CaptureAssignment,
    CaptureCamera,
    DeliverAssignment,
    InferAssignment,
    InferCamera,
    MisconfiguredCamera,
    Reclaim,
    SinkAssignment,
)
from streamer.models.camera_check import pipeline_of
from streamer.sinks.base import SinkSettings


def capture_assignment(spec: WorkerSpec, site: Site) -> CaptureAssignment:
    """Cameras with the credentials in their URLs: for the bus alone."""
    cameras = []
    limits, clips = site.active.config.sources.limits, site.active.config.clips
    for camera in _cameras(spec, site.active.config):
        source = camera.source
        cameras.append(
            CaptureCamera(
                name=camera.name,
                row=site.shared.row(camera.name),
                url=site.active.secrets.url(camera).reveal(),
                infer_worker=site.plan.infer_of[camera.name],
                analysis_width=source.analysis_width,
                fps=0.0 if source.fps == "auto" else source.fps,
                loop=source.loop,
                realtime=source.realtime,
                open_timeout_s=source.open_timeout_s,
                read_timeout_s=source.read_timeout_s,
                stream=source.stream,
                transport=source.transport,
                ca=source.ca,
                decode=source.decode,
                frames=source.frames,
                files=limits.files,
                networks=limits.networks,
                watched=camera.health.enabled,
                ignored=camera.health.ignore,
                gate=source.gate == "auto",
                clip_s=clips.buffer_s if clips.enabled else 0.0,
                clip_bytes=clips.buffer_mb << 20 if clips.enabled else 0,
            )
        )
    return CaptureAssignment(0, tuple(cameras))


def infer_assignment(spec: WorkerSpec, site: Site) -> InferAssignment:
    """Rules, pipelines and rows; the revision goes into every event."""
    config, rev, misconfigured = site.active.config, site.active.rev, site.active.misconfigured
    shared = site.shared
    formerly = {r.new: r.old for r in site.active.renames if r.rev == rev and r.kind == "camera"}
    cameras = []
    for camera in _cameras(spec, config):
        pipeline = pipeline_of(camera)
        cameras.append(
            InferCamera(
                name=camera.name,
                row=shared.row(camera.name),
                generation=shared.last_reclaim(camera.name),
                pipeline=loaded_by(camera),
                rules=in_timezone(with_defaults(camera.rules, pipeline), config.timezone).model_dump_json(),
                bucket_s=config.counts.bucket_s,
                newest=camera.source.realtime and camera.source.fps in (0, "auto"),
                scene=looked_at_by(camera),
                auto_rate=camera.source.fps == "auto" and camera.source.realtime,
                formerly=formerly.get(camera.name, ""),
                term=site.terms.of(camera.name),
            )
        )
    announced = tuple(
        MisconfiguredCamera(
            name=name,
            row=shared.row(name),
            bucket_s=config.counts.bucket_s,
            why=misconfigured[name].why,
            since_ns=misconfigured[name].since_ns,
            term=site.terms.of(name),
        )
        for name, worker in site.plan.announced_by.items()
        if worker == spec.name and name in misconfigured
    )
    inference = config.inference
    return InferAssignment(
        rev,
        rev,
        inference.engine,
        inference.threads,
        tuple(cameras),
        announced,
        opening_hours=config.opening_hours,
        timezone=config.timezone,
        trace=config.tracing.sample if config.tracing.endpoint else None,
        journeys=config.journeys.model_dump_json() if config.journeys.cameras else "",
    )


def capture_ended(spec: WorkerSpec, site: Site) -> None:
    """The frames that it held are lost, and nothing is known of its cameras' sources."""
    counters = site.shared.counters
    for camera in filter(site.shared.knows, spec.cameras):
        row = site.shared.row(camera)
        counters.release_capture(row)
        if counters.reclaimed(row) < site.shared.last_reclaim(camera):
            counters.release_handed(row)  # its reader died too, and it had not been told
        site.state_unknown(camera)


def infer_ended(spec: WorkerSpec, site: Site) -> None:
    """The slots that it had are free again: the capture process, which alone knows them, is told."""
    for camera in filter(site.shared.knows, spec.cameras):
        site.shared.counters.close_infer(site.shared.row(camera))
    if site.stopping:
        return  # the capture processes have stopped before it
    for camera in spec.cameras:
        generation = site.shared.reclaim(camera)
        site.send_to_capture(camera, Reclaim(camera, generation))


def loaded_by(camera: CameraConfig) -> str:
    """The JSON of what is loaded for a camera. Presets that differ in their rules alone share one loaded
    model: only what loading needs is in it.
    """
    pipeline = pipeline_of(camera)
    spec = PipelineSpec(
        name="default",
        detector=pipeline.detector,
        model=camera.model or pipeline.model,
        score=pipeline.score,
        actions=pipeline.actions,
    )
    return spec.model_dump_json()


def looked_at_by(camera: CameraConfig) -> str:
    """Likewise of the classifier of its whole picture; "" for none."""
    return "" if camera.scene is None else camera.scene.model_dump_json()


def deliver_assignment(_spec: WorkerSpec, site: Site) -> DeliverAssignment:
    """With the addresses of sinks and the credentials in them: for the bus alone."""
    config, rev, secrets = site.active.config, site.active.rev, site.active.secrets
    return DeliverAssignment(
        rev=rev,
        config_rev=rev,
        sinks=tuple(_sink_assignment(sink, config, secrets) for sink in config.event_sinks),
        ledger_path=str(config.ledger_path),
        ledger_max_bytes=config.ledger.max_mb << 20,
        retention_days=config.ledger.retention_days,
        node=site.node,
        config_json=json.dumps(_as_applied(config).model_dump(mode="json"), sort_keys=True),
        cameras=tuple(camera.name for camera in config.cameras),
        tracks_days=config.ledger.tracks_days,
        traces_to=config.tracing.endpoint,
        renames=site.active.renames,
        terms=site.terms.held(),
    )


def api_assignment(_spec: WorkerSpec, site: Site) -> ApiAssignment:
    """No secrets: the API has none to lose. The rules as the files have them, since a changed one is written
    back: what the camera's model adds must not become what a person said."""
    config, rev = site.active.config, site.active.rev
    return ApiAssignment(rev, site.node, str(config.ledger_path), config.model_dump_json())


def clip_assignment(_spec: WorkerSpec, site: Site) -> ClipAssignment:
    """No secrets: it opens no camera."""
    config, rev = site.active.config, site.active.rev
    return ClipAssignment(rev, site.node, str(config.ledger_path), config.model_dump_json())


def _sink_assignment(sink: SinkSettings, config: Config, secrets: SecretStore) -> SinkAssignment:
    """One whose secrets cannot be told is refused by name, and costs the others nothing."""
    address = refused = ""
    try:
        address = secrets.sink_address(sink).reveal()
    except ConfigError as error:
        refused = str(error)
    if not address and not refused and sink == config.private_redis:
        address = redis_server.writer_url(config.runtime_path, config.state_path)
    return SinkAssignment(sink.kind, sink.name, sink.model_dump_json(), address, refused)


def _as_applied(config: Config) -> Config:
    """With the rules that the cameras' pipelines complete: the ledger keeps what was in force."""
    cameras = tuple(
        camera.model_copy(
            update={"rules": in_timezone(with_defaults(camera.rules, pipeline_of(camera)), config.timezone)}
        )
        for camera in config.cameras
    )
    return config.model_copy(update={"cameras": cameras})


def _cameras(spec: WorkerSpec, config: Config) -> list[CameraConfig]:
    return [camera for camera in config.cameras if camera.name in spec.cameras]
