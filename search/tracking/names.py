"""The names of the tags, metrics and artifacts that Lockstep writes to MLflow."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum

from search.trials.attributes import DATA_ATTRIBUTE, STUDY_ID_ATTRIBUTE
from search.trials.finals import Finalist
from search.trials.finished_trial import Spread

# Artifacts have the same path in every run, so that MLflow can show them side by side.
TEMPLATES = "templates.png"
RESULT = "result.npz"  # weights and curves, for figures and for users

# MLflow defines these tags.
NOTE_TAG = "mlflow.note.content"  # the run's description, in Markdown
PARENT_TAG = "mlflow.parentRunId"
SOURCE_TAG = "mlflow.source.name"
COLOUR_TAG = "mlflow.runColor"  # the run's colour in the UI, which might repeat its own

# Lockstep defines these tags. The first two say whose an experiment, a run, a registered model or a
# version of it is, and, for people, where that study was last driven from.
STUDY_TAG = STUDY_ID_ATTRIBUTE
OWNER_TAG = "lockstep.owner"
ROLE_TAG = "lockstep.role"  # "study", "trial" or "retrain"
TRIAL_TAG = "lockstep.trial"  # the trial's number
STATUS_TAG = "lockstep.status"
WEIGHTS_TAG = "lockstep.weights"  # of a trial: a value of `Weights`; earlier versions have none
REPORT_TAG = "lockstep.report"  # of the parent run: what its report was written of
RANK_TAG = "lockstep.rank"  # the rank of a trial among the best; 01 is the best
IMAGES_TAG = "lockstep.weight_images"  # the scale of the weight images that are logged
IMAGES_KIND_TAG = "lockstep.weight_images_kind"  # the kind of these images
TEST_SET_TAG = "lockstep.test_set"
TEST_TIME_TAG = "lockstep.test_time"
RETRAINED_TAG = "lockstep.retrained_trial"

# Lockstep also gives these tags to the versions of a registered model.
DATA_TAG = DATA_ATTRIBUTE  # the digest of the data
SCORE_TAG = "lockstep.{}"  # the validation score with this name
FEATURES_TAG = "lockstep.features"  # the name of the set of features that the model takes
FEATURES_FILE_TAG = "lockstep.features_file"  # its file, as the study file gives it


class Weights(StrEnum):
    """Whether the result of a trial has its weights, besides its curves."""

    KEPT = "kept"
    NOT_KEPT = "not kept"  # or no longer
    REQUESTED = "made again on request"  # no launch removes them


# These metrics are logged in addition to those of the curves.
SUMMARY_METRICS = ("best_epoch", "best_val_loss", "stopped_epoch")
RANKED_METRIC = "objective"  # completed trials only; sorts the run table
SPREAD_METRICS = tuple(field.name for field in fields(Spread))  # trials with several seeds
FRESH_METRICS = tuple(f"fresh_{f.name}" for f in fields(Finalist) if f.name != "trial")
