"""What was counted, summed from the ledger: the same for the command line and for HTTP."""
