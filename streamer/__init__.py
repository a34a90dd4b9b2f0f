"""How it runs: the daemon, its workers, its command line."""
