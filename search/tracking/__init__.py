"""The MLflow mirror of a study: runs, views and links. Nothing is decided by what MLflow holds.

`tracker.py` writes runs, `store.py` opens the place where they are, `results.py` reads back what
they keep, `names.py` has every tag and metric. mlflow is imported inside functions: it takes a
second.

May import: MLflow, `search.figures`, `search.trials`, `search.spec`, `core`; never Optuna.
"""
