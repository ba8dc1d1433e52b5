"""Labelled examples: what they are, where they come from, how they are divided.

`dataset.py` has the `Dataset` that all other code takes, and `splits.py` divides it. `sources.py`
loads every source by its name. Each file format has a reader of its own, `idx.py` and `npz.py`.
The readers do not trust a file: they check sizes before they use memory, and unpickle nothing.

May import: NumPy and scikit-learn's data sets.
"""
