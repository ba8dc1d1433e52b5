"""The trainer, its data, and the statistics of choosing among many trials.

`datasets` has labelled examples: where they come from and how they are divided. `trainer` trains
softmax regression, K trials at a time. `statistics` has confidence intervals, paired tests and
estimates of how good the best of many trials is.

May import: NumPy, SciPy and scikit-learn's loaders. Nothing here knows Optuna, MLflow or study
files.
"""
