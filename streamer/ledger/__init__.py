"""The durable record: every event once, with its running totals, in one SQLite file (WAL, FULL).

`Ledger` is the one writer, in the delivery worker. `LedgerReader` opens the same file read-only beside it.
"""

from streamer.ledger.queries import LedgerReader
from streamer.ledger.refusals import LedgerDamaged, LedgerFull, LedgerLocked, LedgerRefused
from streamer.ledger.writer import Committed, Ledger

__all__ = [
    "Committed",
    "Ledger",
    "LedgerDamaged",
    "LedgerFull",
    "LedgerLocked",
    "LedgerReader",
    "LedgerRefused",
]
