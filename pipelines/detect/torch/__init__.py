"""The PyTorch engine, and .pt files read as data."""
