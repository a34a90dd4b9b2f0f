"""The commands of `streamer model`, one file a job; importing this package registers them all."""

from streamer.cli.model import add, export
from streamer.cli.model.group import model

__all__ = ["add", "export", "model"]
