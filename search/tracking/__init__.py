"""Write a study to MLflow: its runs, views and links. No decision depends on what MLflow holds.

`tracker.py` writes to runs, `trial_writer.py` writes those of trials, in this process or in the
others of `recorders.py`, and `run_content.py` says what is in them. `client.py` and `store.py` open
the place where they are kept, `place.py` refuses where it cannot be, `moved_home.py` points a store
at the place where a home is now, `results.py` reads their weights and curves back, and `names.py`
lists tags, metrics and artifacts. Other people may use the same server: `experiment.py`,
`own_runs.py` and `registered_model.py` tell by the tags of `owner.py` what is the study's own.
`views.py` and `view_format.py` preset the pages of MLflow's UI, and `links.py` links to them.
mlflow is imported inside functions, because the import takes a second.

May import: MLflow, `search.figures`, `search.trials`, `search.spec`, `core`; never Optuna.
"""
