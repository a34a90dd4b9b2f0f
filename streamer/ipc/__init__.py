"""What processes exchange: messages, the bus, rings of frames, counters, the spool of events."""
