"""Training of cohorts of trials, on this machine or on a Dask cluster.

`stacks.py` says what a cohort is and cuts it into stacks. `cohort.py` trains a cohort from rung to
rung, and `begun.py` lets stacks go on that were trained for fewer epochs. `executor.py` says what
every executor promises, each way of training has a file of its own, and `choose.py` picks one.
`shared_folds.py` shares examples between processes. Executors use values of `core` only, so a
worker needs neither Optuna nor MLflow.

May import: `search.trials`, `search.spec`, `core`, Dask; never Optuna or MLflow.
"""
