"""What a study found: trials and their results in, verdicts and sentences out.

`scores.py` scores every trial on every validation example, `choice.py` says which tie with the
best, and `sentences.py` puts it into words. Nothing here opens or writes anything.

May import: `search.trials`, `search.spec`, `core`; Optuna in `importances.py` alone.
"""
