"""Counting on public truth, on simulated detectors and on drawn scenes: the protocol and its figures.

data.py holds the sequences and their lines, gross_error.py the bench `counting`, causes.py why counts are
wrong, peers.py and speed.py what others do, simulated.py and drawn.py a wide distribution of detectors and
scenes, choices.py and folds.py how a design choice is made: on some sequences, and scored on others.
"""
