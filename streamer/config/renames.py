"""What was renamed, as the state folder keeps it: for the ledger, which learns of it when a daemon runs.

A rename changes no line: what was counted goes on under the revision that it had (store.py: revise()), and so
in the same total.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.camera_rules import REVISED
from streamer.config.past_names import RENAMES_FILE, read_renames
from streamer.config.schema import CameraConfig
from streamer.config.store import REVISIONS_FILE, digest_of_rule, read_revisions
from streamer.ipc.atomic_write import Write
from streamer.ipc.rename import Rename

MAX_KEPT = 1000  # the newest: the ledger knows those before


def writes_for(
    state_dir: Path, before: CameraConfig, after: CameraConfig, what: tuple[str, str, str], running: bool
) -> list[Write]:
    """What the state folder has to say of a rename: `what` is its kind (camera, line, zone), the old and the
    new name. `running`: a daemon applies it, and so makes its revision itself. Raises StorageError.
    """
    stored = read_revisions(state_dir / REVISIONS_FILE)
    rev = stored["rev"] + 1
    rules = _carried(stored["rules"], before, after)
    revisions = {**stored, "rules": rules}
    if not running:  # its revision is spent: who takes the old name before the next start gets a later one
        revisions |= {"rev": rev, "digest": ""}
    kind, old, new = what
    known = [*read_renames(state_dir), Rename(rev, kind, before.name, old, new, time.time_ns())]
    return [
        Write(state_dir / REVISIONS_FILE, json.dumps(revisions, indent=1) + "\n"),
        Write(state_dir / RENAMES_FILE, json.dumps(known[-MAX_KEPT:]) + "\n"),
    ]


def _carried(rules: Mapping[str, Any], before: CameraConfig, after: CameraConfig) -> dict[str, Any]:
    """The revisions of rules, each under the name that it has now. Both cameras have the same, in order."""
    carried = dict(rules)
    for kind, word in REVISED.items():
        pairs = zip(getattr(before.rules, kind), getattr(after.rules, kind), strict=True)
        for old, new in pairs:
            stored = rules.get(f"{before.name}/{word}/{old.name}")
            if stored is None or stored["digest"] != digest_of_rule(old):
                continue  # not in force so: it gets a revision of its own
            carried.pop(f"{before.name}/{word}/{old.name}", None)
            carried[f"{after.name}/{word}/{new.name}"] = {**stored, "digest": digest_of_rule(new)}
    return carried
