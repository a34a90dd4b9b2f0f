"""A soak: a real daemon that is struck by one random fault a minute, and whether every promise held.

`make soak HOURS=n SEED=s` runs it, tests/faults/test_40_soak.py its short form. It is made of the box that is
struck (box.py), the faults (worker_faults.py, outside_faults.py), what is watched meanwhile (watch.py), the
books at the end (books.py) and the report (report.py).
"""
