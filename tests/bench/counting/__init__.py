"""Counting on public truth, on simulated detectors and in drawn scenes: the protocol and its figures.

data.py holds the sequences and their lines, ours.py what is measured, errors.py its errors, gross_error.py
the bench `counting`, and causes.py why counts are wrong; peers.py and recipes.py what others make of the same
boxes, speed.py how fast; simulated.py and drawn.py a wide distribution of detectors and scenes; choices.py
and folds.py how a design choice is made: on some sequences, and scored on others.
"""
