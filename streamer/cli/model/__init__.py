"""The commands of `streamer model`, one file a job; importing this package registers them all."""

from streamer.cli.model import add, bench, collect, export, quantize, tune
from streamer.cli.model.group import model

__all__ = ["add", "bench", "collect", "export", "model", "quantize", "tune"]
