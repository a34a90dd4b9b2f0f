"""A machine made ready: the doctor's checks, the systemd service."""
