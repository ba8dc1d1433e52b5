"""Find out what a study shows: trials and their results in, statistics and sentences out.

`scores.py` scores every trial on every validation example, and `choice.py` says which trials are
indistinguishable from the best, by the tests of `against_best.py`. `layers.py` compares the sets of
features, and `layer_sentences.py` words it. `edges.py` says where the best trial
lies on an edge, and how to search beyond it. `expected.py` says what fewer trials would have
found, `longer.py` what more would bring, `importances.py` how much each hyperparameter matters, and
`sentences.py` puts the findings into words. Nothing here reads or writes files.

May import: `search.trials`, `search.spec`, `core`; Optuna in `importances.py` alone.
"""
