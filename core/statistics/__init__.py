"""What may be said of a choice among many trials: pure functions of scores.

Each file names its source. Lower scores are better: losses, or errors as 0 and 1.

May import: NumPy and SciPy.
"""
