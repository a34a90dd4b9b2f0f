"""Training and measuring of the detector."""
