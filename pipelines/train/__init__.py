"""Training of models in this repository: pictures and their labels, the network, its loop, and its export.

Everything that needs torch is in net.py, label_assignment.py, loss.py, state.py, train.py and export.py; the
rest is numpy and OpenCV.
"""
