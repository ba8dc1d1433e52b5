"""Tell a study's own runs from those of others, of which none is ever changed or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from search.tracking.names import PARENT_TAG, ROLE_TAG, STUDY_TAG, TRIAL_TAG, WEIGHTS_TAG
from search.tracking.tracker import KnownRuns, Tracker
from search.trials.identity import Identity

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

View = Literal["active_only", "deleted_only", "all"]  # MLflow's names


def own_runs(
    client: MlflowClient,
    experiment_id: str,
    identity: Identity,
    role: str,
    view: View = "active_only",
) -> list[Run]:
    """Return the study's own runs with a role."""
    found = _find(client, experiment_id, role, view)
    return [run for run in found if is_own(run, identity)]


def _find(client: MlflowClient, experiment_id: str, role: str, view: View) -> list[Run]:
    """Return all runs of an experiment with a role, whoever's, read page by page."""
    from mlflow.entities import ViewType

    condition = f"tags.`{ROLE_TAG}` = '{role}'"
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id],
            condition,
            ViewType.from_string(view),
            max_results=1000,
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


def is_own(run: Run, identity: Identity) -> bool:
    """Return whether a run belongs to the study.

    Runs that an earlier version wrote have no tag; of these, the ones belong to the study to which
    its storage refers.
    """
    owner = run.data.tags.get(STUDY_TAG)
    if owner is not None:
        return bool(owner == identity.study_id)
    return run.info.run_id in identity.runs


def own_parent(
    client: MlflowClient, experiment_id: str, identity: Identity, view: View = "active_only"
) -> Run | None:
    """Return the study's own parent run, None if there is none in this view.

    The parent run that an earlier version wrote is found through the trials below it.
    """
    candidates = _find(client, experiment_id, "study", view)
    for run in candidates:
        if is_own(run, identity):
            return run
    untagged = {run.info.run_id: run for run in candidates if STUDY_TAG not in run.data.tags}
    if untagged:
        for run in own_runs(client, experiment_id, identity, "trial", "all"):
            if (parent := untagged.get(run.data.tags.get(PARENT_TAG, ""))) is not None:
                return parent
    return None


def mirrored_identity(client: MlflowClient, experiment: Experiment) -> Identity:
    """Return the identity of the study that an experiment belongs to, as far as MLflow knows it.

    Of a study of an earlier version, these are the runs that are there without a tag.
    """
    owner = experiment.tags.get(STUDY_TAG)
    trials, retrains = (
        {
            str(run.info.run_id): _number(run)
            for run in _find(client, experiment.experiment_id, role, "all")
            if run.data.tags.get(STUDY_TAG) == owner
        }
        for role in ("trial", "retrain")
    )
    numbered = {number: run_id for run_id, number in trials.items() if number is not None}
    return Identity(owner, numbered, frozenset(retrains))


def tag_own(client: MlflowClient, runs: Iterable[Run], identity: Identity) -> None:
    """Tag those of the study's own runs that an earlier version wrote without a tag."""
    for run in runs:
        if STUDY_TAG not in run.data.tags:
            client.set_tag(run.info.run_id, STUDY_TAG, identity.study_id)


def known_runs(
    client: MlflowClient, trials: Iterable[Run], recorded: Mapping[int, str]
) -> KnownRuns:
    """Sort the study's own runs of trials, and delete those that are there twice.

    recorded: the run ids of the recorded trials, by trial number.
    """
    trials = list(trials)
    runs = {str(run.info.run_id): _number(run) for run in trials}
    weights = {
        str(run.info.run_id): run.data.tags[WEIGHTS_TAG]
        for run in trials
        if WEIGHTS_TAG in run.data.tags
    }
    active = frozenset(runs.keys() & set(recorded.values()))
    leftovers: dict[int, str] = {}
    for run_id, number in runs.items():
        if run_id in active or number is None:
            continue
        if number in leftovers or recorded.get(number) in active:
            client.delete_run(run_id)  # written by a driver that was killed before recording it
        else:
            leftovers[number] = run_id
    return KnownRuns(active, leftovers, weights)


def delete_strays(tracker: Tracker, recorded: Mapping[int, str]) -> None:
    """Delete the study's own runs of trials that are there twice; none of them is recorded.

    If a server restarts after it created a run, its answer is lost and the client asks for another
    run; the first one is then never used. recorded: as for `known_runs`.
    """
    own = own_runs(tracker.client, tracker.experiment_id, tracker.identity, "trial")
    known_runs(tracker.client, own, recorded)


def delete_unrecorded(tracker: Tracker, number: int) -> None:
    """Delete the study's own runs of a trial that are not recorded, whole or not."""
    client, mark = tracker.client, f"tags.`{TRIAL_TAG}` = '{number}'"
    for run in client.search_runs([tracker.experiment_id], mark, max_results=1000):
        run_id = run.info.run_id
        if is_own(run, tracker.identity) and run_id not in tracker.known.active:
            tracker.delete_run(run_id)


def _number(run: Run) -> int | None:
    """Return the number of a run's trial, None if somebody has changed its tag."""
    text = run.data.tags.get(TRIAL_TAG, "")
    return int(text) if text.isdecimal() else None
