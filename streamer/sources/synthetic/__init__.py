"""A rendered street as a source: people and vehicles by seed, with the truth of every box and crossing."""

from streamer.sources.synthetic.scene import Scene, parse
from streamer.sources.synthetic.source import create

__all__ = ["Scene", "create", "parse"]
