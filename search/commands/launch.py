"""Launch a study: train the missing trials, and write each to MLflow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from core.datasets.study_data import StudyData
from core.trainer.order import Order
from search.commands.commits import Commits
from search.commands.driver import Driver, Seconds
from search.commands.kept_weights import KeptWeights
from search.commands.launch_report import LaunchReport
from search.commands.report import write_report
from search.commands.session import Session, open_session
from search.commands.study_data import described, load_data, scaling_in_words
from search.console import Console, Workload
from search.findings.choice import Choice
from search.findings.edges import widening
from search.redact import redacted
from search.settings import Settings
from search.spec.recorded import write_record
from search.spec.study_spec import StudySpec
from search.study.samplers import check_installed
from search.study.search_study import SearchStudy
from search.tracking.links import SIDE_VIEW
from search.tracking.own_runs import delete_strays
from search.tracking.recorders import recorders
from search.tracking.tracker import Tracker
from search.tracking.trial_writer import features_of
from search.tracking.views import share_table, view_urls
from search.training.choose import where_trained
from search.trials.finished_trial import ranked
from search.trials.repeats import trained
from search.wording import counted


def launch(
    spec: StudySpec,
    settings: Settings,
    console: Console,
    on_open: Callable[[], object] = lambda: None,
) -> LaunchReport:
    """Run the study from where it stands to its end.

    on_open: called once the study is open, and neither its file nor its data is refused.

    Raises LockstepError.
    """
    remarks: list[str] = []
    data = load_data(spec, settings, console.say, remarks.append, console.reading)
    return run_study(spec, data, settings, console, remarks, on_open)


def run_study(
    spec: StudySpec,
    data: StudyData,
    settings: Settings,
    console: Console,
    remarks: Sequence[str] = (),
    on_open: Callable[[], object] = lambda: None,
) -> LaunchReport:
    """Run the study on data that is already loaded; see `launch`.

    remarks: on the data, to be printed. Raises LockstepError.
    """
    started = time.perf_counter()
    check_installed(spec)
    console.say(f"Study {spec.name}" + (f": {spec.description}" if spec.description else ""))
    console.say(f"  data    {described(spec, data)}")
    console.say(f"  scaling {scaling_in_words(spec, data)}")
    for remark in remarks:
        console.say(f"  note    {remark}")
    new = "" if settings.place.exists() else ", which is new"
    with open_session(spec, data, settings, console) as session:
        write_record(spec.variant, spec.name, settings.folder(spec.name))
        on_open()
        console.say(f"  home    {settings.place}{new}")
        report = _run(session)
    report.seconds.total = time.perf_counter() - started
    return report


def _run(session: Session) -> LaunchReport:
    """Train and record what the open study lacks, and write its report."""
    study, console, settings = session.study, session.console, session.settings
    console.say(f"  search  {_search_line(study, study.n_whole, settings)}")
    if study.order is Order.BLOCKS:
        console.say(f"  order   {_order_in_words(session)}")
    if few := _few_configurations(study.spec):
        console.say(f"  note    {few}")
    with ExitStack() as stack:
        driver = None
        cohort = study.next_cohort()
        finished = {trial.number: trial for trial in study.finished()}
        kept = KeptWeights(session.spec, session.data, finished.values())
        if said := kept.described():
            console.say(f"  weights {said}")
        if cohort or study.finalists_due():
            workload = Workload(study.budget, study.planned_epochs)
            bar = console.progress(workload, study.n_whole, study.epochs_trained)
            progress = stack.enter_context(bar)
            commits = Commits(study, settings, progress, kept)
            training = stack.enter_context(session.training(progress, commits.commit_written))
            driver = Driver(session, training, commits)
            driver.start(cohort)  # The cohort trains while MLflow is opened, which takes seconds.
            runs = (study.budget or len(cohort)) - study.n_whole
            writing = stack.enter_context(recorders(settings, runs))
        tracker = stack.enter_context(session.tracker())
        there = trained(finished.values())
        if lost := len(there) - len(tracker.known.active):
            console.say(
                f"  note    {lost:,} of {len(there):,} runs are no longer in MLflow: "
                f"`lockstep sync {session.spec.argument}` writes them again"
            )
        share_table(tracker)
        kept.tidy(tracker, finished.values(), console.say)
        seconds = Seconds()
        if driver is not None:
            commits.open(tracker, writing.opened(tracker, features_of(session.data)))
            driver.record_all(tracker)
            seconds = driver.seconds
            if finished or settings.mlflow_uri.startswith("http"):
                delete_strays(tracker, {n: each.run_id for n, each in commits.finished.items()})
        clock = time.perf_counter()
        choice = write_report(study, tracker, session.data, settings)
        seconds.logging += time.perf_counter() - clock
        return _report(session, tracker, choice, seconds)


def _report(
    session: Session, tracker: Tracker, choice: Choice | None, seconds: Seconds
) -> LaunchReport:
    """Return the result of the launch that ends here; its total time is not known yet."""
    study, settings = session.study, session.settings
    trials = study.finished()
    ranking = ranked(trials, session.spec.search.objective)
    rows = min(len(train) for train, _ in session.data.first.folds)
    return LaunchReport(
        spec=session.spec,
        trials=trials,
        best=ranking[0] if ranking else None,
        choice=choice,
        seconds=seconds,
        mlflow={
            "tracking_uri": redacted(settings.mlflow_uri),
            "experiment_id": tracker.experiment_id,
            "parent_run_id": tracker.parent_run_id,
            "compare_url": view_urls(tracker, settings.ui_address).get(SIDE_VIEW),
        },
        finals=study.finals(),
        out_of_time=study.out_of_time,
        stopped=study.stopped,
        widening=widening(session.spec, ranking[0], rows) if ranking else [],
    )


def _search_line(study: SearchStudy, n_finished: int, settings: Settings) -> str:
    """Return the line that says what is searched, with which budget, and where it is trained."""
    search, epochs = study.spec.search, study.spec.model.epochs
    may_end_earlier = search.minutes is not None or search.epochs is not None
    parts: list[str] = [search.sampler]
    if search.pruner != "none":
        parts.append(
            f"{search.pruner} at {', '.join(map(str, search.rung_epochs(epochs)[:-1]))} epochs"
        )
    if study.budget is not None:
        about = "up to " if may_end_earlier else ""
        parts.append(f"{about}{study.budget:,} configurations × {counted(epochs, 'epoch')}")
    if search.replicates > 1:
        parts.append(f"{search.replicates} seeds each")
    if search.epochs is not None:
        parts.append(f"{search.epochs:,} epochs in all")
    if search.minutes is not None:
        parts.append(f"{search.minutes:g} minutes")
    line = ", ".join([*parts, where_trained(settings)])
    return f"{line}; {n_finished:,} already done" if n_finished else line


def _order_in_words(session: Session) -> str:
    """Return the line that says how examples are shuffled that are read from a disk in blocks."""
    why = "as data.order says"
    if session.spec.data.order == "auto":
        why = "because the features need more than half of this machine's memory"
    return f"by blocks of neighbouring rows, shuffled within windows of many blocks, {why}"


def _few_configurations(spec: StudySpec) -> str | None:
    """Return a sentence if there are fewer configurations to try than trials are planned."""
    there, trials = spec.configurations(), spec.search.trials
    if there is None or trials is None or there >= trials:
        return None
    return (
        f"there are only {there:,} configurations, fewer than search.trials = {trials:,}: none is "
        "trained twice, and the search ends when all are tried"
    )
