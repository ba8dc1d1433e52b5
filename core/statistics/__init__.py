"""Statistics of choosing the best of many trials, and of judging one: pure functions of scores.

Each file names its source. Lower scores are better: losses, or errors as 0 and 1. The
scores of `classification.py`, which are reported of one classifier on a test set, are
scikit-learn's, where mostly higher is better; `roc.py` and `stratified_bootstrap.py` find their
intervals.

May import: NumPy, SciPy and scikit-learn.
"""
