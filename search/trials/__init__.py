"""Values that other packages exchange: a planned trial, how it ended, and what is kept of it.

They are small and immutable, and nothing here opens, sends or writes anything. `trial.py` is a
trial before training and `outcome.py` how it ended. `finished_trial.py` is what Optuna keeps of a
trial, under the names of `attributes.py`, and `results.py` what its MLflow run keeps. `repeats.py`
tells trials of one configuration apart. `finals.py` is how the best trials did on fresh seeds,
`layers.py` how the sets of features compare, `expected_search.py` what fewer trials would have
found, and `identity.py` who a study is.

May import: `search.spec`, `core`.
"""
