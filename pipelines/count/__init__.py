"""Counting: tracks in, events out; `CameraCounts` runs what the rules of one camera ask for.

It is loaded when it is asked for: who only adds up what was counted (the ledger, in the delivery worker and
in commands) needs neither numpy nor the analytics, which take longer to load than all else there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.count.camera_counts import CameraCounts, RuleError

__all__ = ["CameraCounts", "RuleError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipelines.count import camera_counts

    return getattr(camera_counts, name)
