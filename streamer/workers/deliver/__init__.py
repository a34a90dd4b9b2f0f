"""The delivery worker: events into the ledger, and from there to the sinks."""
