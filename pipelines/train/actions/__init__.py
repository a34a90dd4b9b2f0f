"""Training and measuring of action models."""
