"""The trainer and its data: NumPy, the standard library, and scikit-learn's loaders.

Nothing in this package knows Optuna, MLflow or the study files (``tests/test_imports.py`` checks).
"""
