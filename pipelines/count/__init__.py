"""Counting: tracks in, events out; one analytic a file, joined by `create_analytics` as the rules ask."""

from pipelines.count.camera_counts import Analytics, RuleError, create_analytics

__all__ = ["Analytics", "RuleError", "create_analytics"]
