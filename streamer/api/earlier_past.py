"""Whether a name has a past of its own: what was counted under it by a camera that is no longer there.

Who takes such a name goes on in its totals, and counts of two cameras cannot be told apart again.
"""

from __future__ import annotations

from contextlib import closing

from streamer.config.past_names import read_renames
from streamer.config.schema import Config
from streamer.errors import ConfigError


def refuse_past(config: Config, name: str) -> None:
    """Raise ConfigError where the ledger keeps something of a camera that was called `name`, and is not
    called otherwise now; StorageError where the ledger cannot be asked."""
    if config.ledger_path.exists() and _has_past(config, name):
        raise ConfigError(
            f"camera {name!r} was there before, and what it counted is kept: choose another name, or let "
            "both be one camera in all counts with --merge (over HTTP: merge: true)"
        )


def _has_past(config: Config, name: str) -> bool:
    from streamer.ledger import LedgerReader  # here: no other change of a camera asks the ledger

    pending = read_renames(config.state_path)
    with closing(LedgerReader(config.ledger_path, pending)) as reader, reader.one_moment():
        return reader.has_past(name)
