"""The Optuna study, the one source of truth: what is tried next, and what has been recorded.

`opening.py` holds the lease, `search_study.py` plans and records, `samplers.py` asks for trials,
and `storage.py` says where Optuna keeps them. This is the only room that knows Optuna (but for
`search.findings.importances`, which computes with it).

May import: Optuna, SQLAlchemy, `search.trials`, `search.spec`, `core`; never MLflow.
"""
