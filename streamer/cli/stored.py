"""Stored detections as a CLIP, and what those of an earlier version lack."""

from __future__ import annotations

from pathlib import Path

import click

from streamer.clips.stored_detections import StoredDetections, load_detections


def read_stored(path: Path) -> StoredDetections:
    """Says what may make counts differ from the clip's own. Raises SourceError."""
    stored = load_detections(path)
    if stored.lacks_embeddings:
        _warn(
            f"{path} is of an earlier version, without the colours by which people are known where frames "
            "are far apart: if the clip has colours, counts may differ from its own; "
        )
    return stored


def warn_low_confidence_missing(path: Path) -> None:
    _warn(
        f"{path} is of an earlier version, without the boxes of which the detector was not sure: "
        "fewer falls are told than of the clip itself; "
    )


def _warn(what: str) -> None:
    click.secho(f"warning: {what}store it again with --detections", fg="yellow", err=True)
