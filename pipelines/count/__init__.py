"""Counting: tracks in, events out. One analytic a file; `create_analytics` joins those a camera's rules ask for."""

from pipelines.count.analytics import Analytics, RuleError, create_analytics

__all__ = ["Analytics", "RuleError", "create_analytics"]
