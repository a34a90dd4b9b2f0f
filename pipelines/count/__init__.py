"""Counting: tracks in, events out; `CameraCounts` runs what the rules of one camera ask for."""

from pipelines.count.camera_counts import CameraCounts, RuleError

__all__ = ["CameraCounts", "RuleError"]
