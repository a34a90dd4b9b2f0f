"""Tracking: boxes of one camera's frames in, tracks with lasting ids out."""

from pipelines.track.settings import TrackerSettings
from pipelines.track.tracker import Tracker, create_tracker

__all__ = ["Tracker", "TrackerSettings", "create_tracker"]
