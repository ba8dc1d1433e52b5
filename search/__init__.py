"""The search: an Optuna study over `core`'s trainer, mirrored to MLflow, and its command line."""
