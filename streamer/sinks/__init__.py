"""Where events go. A kind of sink is one file here and one line in SINKS.

Its class takes the settings, the node's name and the address with credentials in it (`open_sink`), does what
base.Sink says, and has in `Settings` the pydantic model of what the configuration says of it:

    sinks:
      - {kind: redis, url: redis://192.168.1.5:6379/0}

A kind is imported where the configuration names it, also by the command line and the supervisor, which read
the settings alone: a large library is imported by what uses it and not at the head of the file.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from streamer.errors import ConfigError
from streamer.sinks.base import KeepsProgress, Sink, SinkSettings

# kind -> "module:Class"
SINKS: dict[str, str] = {
    "redis": "streamer.sinks.redis:RedisSink",
    "jsonl": "streamer.sinks.jsonl:JsonlSink",
    "mqtt": "streamer.sinks.mqtt:MqttSink",
    "kafka": "streamer.sinks.kafka:KafkaSink",
    "webhook": "streamer.sinks.webhook:WebhookSink",
}


class SinkClass(Protocol):
    """What a line of SINKS names."""

    Settings: type[SinkSettings]

    def __call__(self, settings: Any, node: str, address: str) -> Sink:
        """Raises StreamerError if the address is none."""


def sink_class(kind: str) -> SinkClass:
    """Raises ConfigError for a kind that there is not."""
    if kind not in SINKS:
        raise ConfigError(f"{kind[:64]!r} is no kind of sink; known: {', '.join(SINKS)}")
    module, _, name = SINKS[kind].partition(":")
    return cast(SinkClass, getattr(import_module(module), name))


def open_sink(kind: str, settings: str, node: str, address: str, state_dir: Path | None = None) -> Sink:
    """The sink with these settings (JSON). It does not connect before it is used.

    `state_dir` is where sinks note how far they are, one file each; a kind that does so needs it. Raises
    StreamerError.
    """
    chosen = sink_class(kind)
    checked = chosen.Settings.model_validate_json(settings)
    sink = chosen(checked, node, address)
    if isinstance(sink, KeepsProgress):
        if state_dir is None:
            raise ConfigError(f"sink {checked.name}: a sink of kind {kind} needs a state folder")
        sink.keep_progress(progress_path(state_dir, checked.name))
    return sink


def progress_path(state_dir: Path, name: str) -> Path:
    """Where the sink `name` notes how far it is, if its kind does."""
    return state_dir / "sinks" / f"{name}.db"
