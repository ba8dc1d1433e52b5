"""The Optuna study, which alone decides what is tried next and what counts as recorded.

`opening.py` opens a study for its only driver, and `started.py` compares it with its file.
`search_study.py` records results, `planning.py` plans cohorts and finds repeats, `generations.py`
has the trials of a grid that may have grown, and `stopping.py` says when a search ends early.
`samplers.py` chooses Optuna's samplers (`hub.py`: OptunaHub's; `widened.py`: where ranges became
wider), and `foreign.py` tells what somebody else has put into the same storage. `storage.py` says
where Optuna keeps a study: in a journal, or in a database (`making.py`, `sqlite_storage.py`,
`postgres_storage.py`), where `file_lease.py` and `postgres_lease.py` keep a second driver away. No
other package imports Optuna, except that `search.findings.importances` computes with it.

May import: Optuna, SQLAlchemy, `search.trials`, `search.spec`, `core`; never MLflow.
"""
