"""The inference worker: frames of all cameras through the detector, tracks, counts, events."""
