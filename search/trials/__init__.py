"""Values that travel between the rooms: a trial that is planned, how it ended, what it left.

Frozen and small; nothing here opens, sends or writes anything. `finished_trial.py` is what Optuna
keeps of a trial, `results.py` what its run keeps.

May import: `search.spec`, `core`.
"""
