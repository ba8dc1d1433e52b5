"""Fit, register and read back the retrained model, and read the inputs that it predicts.

`fitting.py` trains it, and `lbfgs.py` fits scikit-learn's baseline; `judged.py` is what both have,
predictions for the test set. `registry.py` registers it, `champion.py` loads it, and `inputs.py`
reads pictures and arrays. `served_model.py` is copied with every model and runs without Lockstep:
it needs only NumPy, pandas and mlflow.

May import: MLflow, `search.tracking`, `search.trials`, `search.spec`, `core`, scikit-learn.
"""
