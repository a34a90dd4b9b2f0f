"""The capture worker: cameras are opened, read and decoded into rings."""
