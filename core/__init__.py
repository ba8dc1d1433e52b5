"""The trainer, its data, and the statistics of choosing: NumPy, SciPy and scikit-learn's loaders.

datasets: labelled examples, where they come from, how they are divided.
trainer: softmax regression, K trials at a time, in lockstep.
statistics: intervals, paired tests, how good the best of many is.

Nothing here knows Optuna, MLflow or study files.
"""
