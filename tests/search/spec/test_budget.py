from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.spec.budget import cohort_epochs, expected_trials, next_size
from search.spec.search_spec import SearchSpec

EPOCHS = 9


@st.composite
def searches(draw: st.DrawFn) -> SearchSpec:
    replicates = draw(st.integers(1, 3))
    trials = draw(st.none() | st.integers(1, 200))
    least = 1 if trials is None else None
    epochs = draw(
        st.integers(EPOCHS * replicates, 3000) if least else st.none() | st.integers(27, 3000)
    )
    pruner = draw(st.sampled_from(["none", "halving", "hyperband"]))
    return SearchSpec.model_validate(
        {
            "sampler": "random",
            "trials": trials,
            "epochs": epochs,
            "cohort": draw(st.integers(1, 50)),
            "pruner": pruner,
            "replicates": replicates,
        }
    )


@given(search=searches(), data=st.data())
def test_a_budget_is_never_overdrawn(search: SearchSpec, data: st.DataObject) -> None:
    """Whatever is left over because trials diverged."""
    asked = spent = 0
    while size := next_size(search, EPOCHS, asked, spent, 0.0):
        cost = cohort_epochs(size, search, EPOCHS)
        assert size <= search.cohort
        asked += size
        spent += data.draw(st.integers(size, cost))
        assert search.trials is None or asked <= search.trials
        assert search.epochs is None or spent <= search.epochs
    if asked != search.trials:
        assert search.epochs is not None
        assert search.epochs - spent < cohort_epochs(1, search, EPOCHS), "another one would fit"


@given(search=searches())
def test_what_is_expected_is_what_is_asked(search: SearchSpec) -> None:
    asked = spent = 0
    while size := next_size(search, EPOCHS, asked, spent, 0.0):
        asked, spent = asked + size, spent + cohort_epochs(size, search, EPOCHS)
    assert expected_trials(search, EPOCHS) == asked


def test_minutes() -> None:
    search = SearchSpec(sampler="tpe", minutes=2.0)
    assert next_size(search, EPOCHS, 1000, 9999, 1.99) == search.cohort
    assert next_size(search, EPOCHS, 0, 0, 2.0) == 0
    assert expected_trials(search, EPOCHS) is None


def test_without_a_pruner_every_trial_trains_in_full() -> None:
    search = SearchSpec(sampler="tpe", trials=5, replicates=2)
    assert cohort_epochs(5, search, EPOCHS) == 5 * 2 * EPOCHS
