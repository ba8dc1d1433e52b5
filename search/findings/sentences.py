"""Put what a study found into lines of plain text: what won, how sure that is, and what to
doubt."""

from __future__ import annotations

from collections.abc import Sequence

from core.trainer.result import Hyperparameters, Status
from core.trainer.softmax import Penalty
from search.findings.against_best import LEVEL, name_of_tests
from search.findings.choice import Choice
from search.findings.edges import edges
from search.findings.expected import expected_search
from search.findings.expected import sentence as expected_sentence
from search.findings.layer_sentences import layer_sentences
from search.findings.longer import longer
from search.findings.longer import sentence as longer_sentence
from search.spec.configuration import configuration
from search.spec.study_spec import StudySpec
from search.trials.finals import Finals
from search.trials.finished_trial import FinishedTrial, ranked
from search.trials.repeats import distinct, exhausted, settled_after
from search.wording import counted


def note(
    spec: StudySpec,
    trials: Sequence[FinishedTrial],
    choice: Choice | None = None,
    finals: Finals | None = None,
) -> list[str]:
    """Return lines of plain text that say what won, how sure that is, and what to doubt."""
    ranking = ranked(list(trials), spec.search.objective)
    if not ranking:
        return [f"note     {none_completed(spec, trials)}", *_repeats(spec, trials)]
    best = ranking[0]
    tried = best.hyperparameters
    lines = [
        f"best     #{best.number}: {configuration(tried, spec)}: validation loss "
        f"{best.val_loss:.5f}{_plus_minus(best)}, accuracy {100 * best.val_accuracy:.2f} %"
        + _balanced(best)
    ]
    if finals is not None:
        lines.append(_winner(finals, trials, spec))
    lines += [] if choice is None else choice_sentences(choice, spec)
    expected = expected_search(spec, distinct(trials, spec.search.objective))
    if expected is not None and (sentence := expected_sentence(expected, spec)):
        lines.append(sentence)
    by_number = sorted(trials, key=lambda trial: trial.number)
    if (more := longer(spec, by_number)) is not None:
        lines.append(longer_sentence(more, spec))
    if found := edges(spec, best):
        lines.append(f"note     it lies on the edge of the search: {', '.join(map(str, found))}")
    return lines + _repeats(spec, trials)


def _repeats(spec: StudySpec, trials: Sequence[FinishedTrial]) -> list[str]:
    """Return lines on trials that were not trained because their configuration was known, and on a
    search that ended because nothing new was left."""
    found = [trial for trial in trials if trial.repeats is not None]
    different = len({trial.hyperparameters for trial in trials})
    lines = []
    if found:
        lines.append(
            f"repeats  {len(found):,} of {len(trials):,} trials repeat a configuration that was "
            "known, and were not trained; all findings are on the "
            f"{counted(different, 'different one')}"
        )
    if (why := exhausted(spec, sorted(trials, key=lambda trial: trial.number))) is not None:
        ended = why.value.format(configurations=different, settled=settled_after(spec))
        lines.append(f"ended    {ended}")
    return lines


def none_completed(spec: StudySpec, trials: Sequence[FinishedTrial]) -> str:
    """Return why a study has no best trial, and what to do; trials: its finished ones."""
    diverged = [each.hyperparameters for each in trials if each.status is Status.DIVERGED]
    if not diverged:
        return (
            f"study {spec.name} has no completed trial yet: run `lockstep launch {spec.argument}`"
        )
    return (
        f"no trial of {spec.name} was completed: {len(diverged):,} of {len(trials):,} diverged, "
        f"{_why_diverged(spec, diverged)}, and give the study a new name"
    )


def _why_diverged(spec: StudySpec, tried: Sequence[Hyperparameters]) -> str:
    """Return the likely reason why all of these diverged, and which keys to change to what."""
    slowest = min(each.learning_rate for each in tried)
    products = [each.learning_rate * each.weight_decay for each in tried]
    if spec.model.penalty is Penalty.SQUARED and min(products) > 2:
        # A step multiplies the weights by 1 - learning rate * weight decay, which is below -1.
        return (
            f"because learning rate × weight decay is {min(products):.3g} or more, so that every "
            "step makes the weights larger: give smaller values in space.weight_decay or "
            "space.learning_rate, so that no product is above 2"
        )
    smaller = f"values in space.learning_rate below {slowest:.3g}, such as {slowest / 100:.1g}"
    if spec.data.scale == "none":
        return (
            "probably because the features are large and not scaled: set data.scale = "
            f'"standard", or give {smaller}'
        )
    return f"probably because the learning rates are too high: give {smaller}"


def _balanced(trial: FinishedTrial) -> str:
    """Return the balanced accuracy in words, if the study has it."""
    value = trial.val_balanced_accuracy
    return "" if value is None else f", balanced {100 * value:.2f} %"


def _plus_minus(trial: FinishedTrial) -> str:
    """Return the standard deviation of the validation loss over seeds, if there are several."""
    return "" if trial.spread is None else f" ± {trial.spread.val_loss_std:.5f} (over seeds)"


def _winner(finals: Finals, trials: Sequence[FinishedTrial], spec: StudySpec) -> str:
    """Return the line about the finalist that was best on fresh seeds."""
    first = finals.winner
    (tried,) = [each.hyperparameters for each in trials if each.number == first.trial]
    return (
        f"winner   #{first.trial}: {configuration(tried, spec)}: validation loss "
        f"{first.val_loss:.5f} ± {first.val_loss_std:.5f}, accuracy "
        f"{100 * first.val_accuracy:.2f} ± {100 * first.val_accuracy_std:.2f} %, the best of "
        f"{len(finals.finalists)} finalists on {len(finals.seeds)} fresh seeds"
    )


def choice_sentences(choice: Choice, spec: StudySpec) -> list[str]:
    """Return the choice in lines of plain text, which follow the one that names the best trial."""
    best, simplest = choice.best, choice.one_se
    compared = len(choice.standings)
    lines = []
    if compared > 1:
        test = name_of_tests(choice.objective)
        lines.append(
            f"tied     {choice.indistinguishable:,} of {compared:,} trials are statistically "
            f"indistinguishable from the best ({test} on {choice.examples:,} validation examples, "
            f"Holm, {100 * LEVEL:g} %)"
        )
        if simplest is best:
            lines.append("one-se   the same: none simpler is within one standard error")
        else:
            tried = simplest.trial.hyperparameters
            lines.append(
                f"one-se   #{simplest.trial.number}: {configuration(tried, spec)}: "
                f"{choice.objective.worse_by(simplest.behind, simplest.behind_error)}"
            )
        lines.append(f"optimism {_optimism(choice)}")
    if choice.layers is not None:
        lines += layer_sentences(choice.layers)
    if best.trial.val_accuracy <= choice.guessing:
        lines.append(
            "note     this is no better than always guessing the most frequent class, which is "
            f"right on {100 * choice.guessing:.2f} % of the validation examples: try larger "
            "learning rates, more epochs, or another scale of the features"
        )
    if choice.not_kept:
        lines.append(f"note     {weights_not_kept(choice, spec)}")
    if choice.missing:
        numbers = ", ".join(f"#{trial.number}" for trial in choice.missing[:5])
        more = f" and {len(choice.missing) - 5:,} more" if len(choice.missing) > 5 else ""
        lines.append(f"note     not compared, as their runs lost their weights: {numbers}{more}")
    return lines


def weights_not_kept(choice: Choice, spec: StudySpec) -> str:
    """Return how many trials were not compared because their weights are not kept."""
    left_out, compared = len(choice.not_kept), len(choice.standings)
    all_of_them = left_out + compared + len(choice.missing)
    were = "was" if left_out == 1 else "were"
    return (
        f"{left_out:,} of {counted(all_of_them, 'trial')} {were} not compared, as only the weights "
        f"of the best are kept (search.keep_weights): `lockstep sync {spec.argument} --weights` "
        "makes the others again"
    )


def _optimism(choice: Choice) -> str:
    """Return how much too good the best score is, and what score to expect."""
    found, objective = choice.optimism, choice.objective
    same = ""
    if choice.layers is not None:
        same = f", and the same features {100 * choice.layers.best.chosen:.0f} %"
    return (
        f"the best score is too good by about {objective.amount(found.amount)}: expect "
        f"{objective.text(found.corrected)} (bootstrap, which chose "
        f"the same trial {100 * found.chosen_again:.0f} % of the time{same})"
    )
