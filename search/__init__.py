"""The search: Optuna, MLflow, and the command line around `core`.

Imports run one way: cli → commands → the rooms study, training, tracking, model, findings, figures
→ trials → spec → settings, errors and the other files of this folder → core. The rooms study,
training, tracking and findings never import each other: `commands` hands what one of them needs of
another to it, as a value of `trials`. `pyproject.toml` holds the rules, and the suite checks them.
"""
