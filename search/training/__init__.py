"""Cohorts of trials, cut into stacks, trained on this machine or on a Dask cluster.

`cohort.py` takes a cohort from rung to rung; `executor.py` says what every executor promises; each
way of training has a file of its own, and `choose.py` picks one. Executors carry values of `core`
only, so a worker needs neither Optuna nor MLflow.

May import: `search.trials`, `search.spec`, `core`, Dask; never Optuna or MLflow.
"""
