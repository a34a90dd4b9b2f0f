"""Training of models in this repository: pictures and their labels, the network, its loop, and its export.

Everything that needs torch is in net.py, assign.py, loss.py, state.py, detector.py and export.py; the rest is
numpy and OpenCV.
"""
