"""The names under which Optuna keeps what Lockstep stores with a study and with its trials."""

from __future__ import annotations

# Of a trial
# Also of the study, with the trial's number, for a result after more epochs: Optuna does not allow
# changes to a finished trial.
RESULT_ATTRIBUTE = "lockstep.result"
PARAMS_ATTRIBUTE = "lockstep.params"  # values that a list got after the study had begun
RUN_ATTRIBUTE = "mlflow.run_id"  # also of the study, with the trial's number, for a rewritten run
URL_ATTRIBUTE = "mlflow.run"
REPLACES_ATTRIBUTE = "lockstep.replaces"  # of such a result: the run that its run replaces
REPEATS_ATTRIBUTE = "lockstep.repeats"  # of a trial that was not trained: whose result it has

# Of a study
STUDY_ID_ATTRIBUTE = "lockstep.study_id"  # what the study has in MLflow has a tag of the same name
SPEC_ATTRIBUTE = "lockstep.spec"
DATA_ATTRIBUTE = "lockstep.data_digest"  # a registered model has a tag of the same name
SCALE_ATTRIBUTE = "lockstep.scale"  # studies that were stored without it scale nothing
ORDER_ATTRIBUTE = "lockstep.order"  # of the examples; studies without it have the exact one
PLACE_ATTRIBUTE = "lockstep.place"  # the home that last wrote to an MLflow server, and that server
TEST_ATTRIBUTE = "lockstep.test_evaluations"
FINALISTS_ATTRIBUTE = "lockstep.finalists"
# The latest cohort: the number of its first trial, and one more than that of its last.
COHORT_ATTRIBUTE = "lockstep.cohort"
# The numbers of the first trials of all cohorts. Earlier versions did not store them, and trained
# trials that repeat another one; in a study that one of them began, they are those begun since.
STARTS_ATTRIBUTE = "lockstep.cohort_starts"
MINUTES_ATTRIBUTE = "lockstep.minutes"  # the minutes that finished cohorts took
