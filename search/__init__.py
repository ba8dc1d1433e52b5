"""The search: Optuna, MLflow, and the command line around `core`.

Imports run one way: cli → commands → the packages study, training, tracking, model, findings,
proposal and figures → trials → spec → settings, errors and the other files of this folder → core.
The packages study, training, tracking, findings and proposal never import each other: `commands`
passes what one of them needs from another as a value of `trials`. `pyproject.toml` holds these
rules, and the test suite checks them.
"""
