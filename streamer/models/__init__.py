"""Model files: catalogue, download, store, check, export, measuring, tuning."""
