"""The retrained model: fitted, registered, read back, and asked.

`served_model.py` is copied with every model and runs without Lockstep: NumPy, pandas, mlflow.

May import: MLflow, `search.tracking`, `search.trials`, `search.spec`, `core`.
"""
