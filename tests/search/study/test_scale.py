"""What a study does to the features is kept: it cannot change under a name."""

from __future__ import annotations

import optuna
import pytest
from small_study import small_spec

from core.datasets.scaling import Scale
from search.errors import StudyChangedError
from search.settings import Settings
from search.study.opening import load_study, open_study
from search.study.storage import driver_storage
from search.trials.attributes import DATA_ATTRIBUTE, SPEC_ATTRIBUTE

DIGEST = "digest"


def stored_before_there_was_a_scale(settings: Settings) -> None:
    spec = small_spec()
    settings.folder(spec.name).mkdir(parents=True)
    with driver_storage(spec.name, settings) as storage:
        study = optuna.create_study(study_name=spec.name, storage=storage)
        study.set_user_attr(DATA_ATTRIBUTE, DIGEST)
        study.set_user_attr(SPEC_ATTRIBUTE, spec.defining())


def test_an_older_study_scales_nothing(settings: Settings) -> None:
    stored_before_there_was_a_scale(settings)
    spec = small_spec()
    with (
        pytest.raises(StudyChangedError) as caught,
        open_study(spec, settings, DIGEST, Scale.STANDARD),
    ):
        pass
    assert 'data.scale: "none" → "standard"; scale = "none" in [data] continues it' in str(
        caught.value
    )
    with open_study(spec, settings, DIGEST, Scale.NONE) as study:
        assert study.scale is Scale.NONE
    with open_study(small_spec({"data.scale": "none"}), settings, DIGEST, Scale.NONE):
        pass


def test_a_study_keeps_its_scale(settings: Settings) -> None:
    with open_study(small_spec(), settings, DIGEST, Scale.L2) as study:
        assert study.scale is Scale.L2
    assert load_study(small_spec(), settings).scale is Scale.L2
    for other in (Scale.NONE, Scale.STANDARD):
        with (
            pytest.raises(StudyChangedError, match=r"data\.scale"),
            open_study(small_spec(), settings, DIGEST, other),
        ):
            pass
