"""Statistics of choosing the best of many trials: pure functions of their scores.

Each file names its source. Lower scores are better: losses, or errors as 0 and 1.

May import: NumPy and SciPy.
"""
