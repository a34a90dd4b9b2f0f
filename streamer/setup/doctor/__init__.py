"""`streamer doctor`: what of this machine and its configuration stands in the way of the daemon.

A check looks and says; it changes nothing and starts nothing. A new one is a function and a line in a table.
"""

from __future__ import annotations

from streamer.config.store import ConfigStore
from streamer.setup.doctor.check import Check, Level
from streamer.setup.doctor.installation import SITE_CHECKS, check_config
from streamer.setup.doctor.machine import MACHINE_CHECKS

__all__ = ["Check", "Level", "examine"]


def examine(store: ConfigStore) -> list[Check]:
    """All checks in the order in which a person would mend them."""
    results = [check for look in MACHINE_CHECKS for check in look()]
    config, checks = check_config(store)
    results += checks
    results += [check for look in SITE_CHECKS for check in look(store, config)]
    return results
