"""Softmax regression, trained K trials at a time.

`softmax.py` has the definitions, as pure functions; `residual.py`, `tile.py` and `stack.py` are
the same mathematics made fast; `packing.py` and `pruning.py` are for trials that stop early.
`result.py` has the values that leave this room. Whoever changes the inner step runs
`tests/benchmarks/run.py trainer` before and after.

May import: NumPy, SciPy's BLAS, `core.datasets`.
"""
