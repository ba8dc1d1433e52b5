"""Softmax regression, trained K trials at a time.

`softmax.py` defines the mathematics as pure functions. `residual.py`, `tile.py` and `stack.py`
compute the same faster, on arrays that `training_data.py` and `aligned.py` lay out; `order.py` says
in which order, and `batches.py` reads them, also from a file. `pruning.py` decides which trials
stop early, and `packing.py` puts the others into one stack. `result.py` has the values that other
packages use. Run `tests/benchmarks/run.py trainer` before and after every
change of the inner step.

May import: NumPy, SciPy's BLAS, `core.datasets`.
"""
