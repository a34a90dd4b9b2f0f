"""The tests, by room: pipelines, streamer, contracts, replay, faults; the figures are in bench."""
