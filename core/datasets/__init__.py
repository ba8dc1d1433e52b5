"""Labelled examples: what they are, where they come from, how they are divided.

`dataset.py` is the value that everything else takes, `splits.py` divides it (and reads nothing),
`sources.py` knows every source by name, and each file format has a reader of its own, which treats
files as hostile: sizes are checked before memory is taken, nothing is unpickled.

May import: NumPy and scikit-learn's data sets.
"""
