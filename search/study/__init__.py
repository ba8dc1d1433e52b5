"""The Optuna study, which alone decides what is tried next and what counts as recorded.

`opening.py` opens a study for its only driver, `search_study.py` plans cohorts and records results,
`asking.py` plans each trial of a cohort and finds those that repeat one, `samplers.py` chooses
Optuna's samplers, `storage.py` says where Optuna keeps a study, and `file_lease.py` and
`postgres_lease.py` keep a second driver away. No other package imports Optuna, except that
`search.findings.importances` computes with it.

May import: Optuna, SQLAlchemy, `search.trials`, `search.spec`, `core`; never MLflow.
"""
