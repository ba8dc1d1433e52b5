"""The names that Lockstep gives to what it writes to MLflow: tags, metrics and artifacts."""

from __future__ import annotations

from dataclasses import fields

from search.trials.finals import Finalist
from search.trials.finished_trial import Spread

# Artifacts. They have the same path in every run: that is what MLflow shows side by side.
TEMPLATES = "templates.png"
RESULT = "result.npz"  # weights and curves, for figures and for whoever wants them

# Tags of MLflow's own.
NOTE_TAG = "mlflow.note.content"  # the run's description, in Markdown
PARENT_TAG = "mlflow.parentRunId"
SOURCE_TAG = "mlflow.source.name"
COLOUR_TAG = "mlflow.runColor"  # of a run wherever the UI draws it; its own choice may repeat

# Tags of Lockstep's runs.
ROLE_TAG = "lockstep.role"  # "study", "trial" or "retrain"
TRIAL_TAG = "lockstep.trial"  # its number
STATUS_TAG = "lockstep.status"
RANK_TAG = "lockstep.rank"  # of the best trials, 01 the best
IMAGES_TAG = "lockstep.weight_images"  # that they are logged, and on which scale
TEST_SET_TAG = "lockstep.test_set"
TEST_TIME_TAG = "lockstep.test_time"
RETRAINED_TAG = "lockstep.retrained_trial"

# Metrics, beside those of the curves.
SUMMARY_METRICS = ("best_epoch", "best_val_loss", "stopped_epoch")
RANKED_METRIC = "objective"  # of completed trials alone: what the run table is sorted by
SPREAD_METRICS = tuple(field.name for field in fields(Spread))  # of trials with several seeds
FRESH_METRICS = tuple(f"fresh_{f.name}" for f in fields(Finalist) if f.name != "trial")
