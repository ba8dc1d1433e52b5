"""Load and divide the data of a study, and check that it suits the study."""

from __future__ import annotations

from collections.abc import Callable

from core.datasets.dataset import DataError
from core.datasets.remarks import remarks
from core.datasets.scaled import automatic
from core.datasets.scaling import Scale
from core.datasets.source import Source
from core.datasets.sources import load_source
from core.datasets.splits import Splits, prepare
from core.datasets.study_data import StudyData
from core.datasets.survey import bytes_in_files, surveyed
from core.trainer.order import Order
from search.console import Reading, unshown
from search.errors import LockstepError
from search.memory import memory_bytes
from search.settings import Settings
from search.spec.study_spec import Baseline, StudySpec


def load_data(
    spec: StudySpec,
    settings: Settings,
    announce: Callable[[str], None],
    tell: Callable[[str], None] | None = None,
    reading: Reading = unshown,
) -> StudyData:
    """Load the data of a study and divide it into train, validation and test.

    Large matrices stay in their files, which are read through once.

    announce: called with a sentence before data is fetched from the network. tell: called with each
    remark on the data that a user should read once; without it, none is looked for.
    reading: shows the progress of reading files through.

    Raises LockstepError if the data is invalid or a batch would be larger than the training split.
    """
    said: list[str] = []
    try:
        divided = {
            name: _divided(spec, source, settings, announce, said.append)
            for name, source in spec.data_sources().items()
        }
        with reading(sum(map(bytes_in_files, divided.values()))) as advance:
            known = {
                name: surveyed(splits, advance) if bytes_in_files(splits) else splits
                for name, splits in divided.items()
            }
        if tell is not None:
            for name, splits in known.items():
                said += remarks(splits, (spec.data.features or {}).get(name, spec.data.origin))
            for remark in dict.fromkeys(said):  # All sets of features have the same labels.
                tell(remark)
        data = StudyData({name: _scaled(spec, splits) for name, splits in known.items()})
    except DataError as error:
        raise LockstepError(f"{spec.file}: [data]: {error}") from error
    _check_batch_sizes(spec, data.first)
    return data


def _divided(
    spec: StudySpec,
    source: Source,
    settings: Settings,
    announce: Callable[[str], None],
    tell: Callable[[str], None],
) -> Splits:
    """Return the data of one source, divided. Raises DataError."""
    loaded = load_source(source, spec.data.classes, settings.data_dir, announce, tell)
    if source.split is not None and loaded.test is None:
        tell(f"{source.split} names no test rows: a fifth of the examples are held out as the test")
    data = prepare(
        loaded.train,
        loaded.test,
        validation=loaded.validation,
        groups=loaded.groups,
        validation_fraction=spec.data.validation_fraction,
        seed=spec.data.seed,
        n_folds=spec.data.folds,
    )
    if loaded.validation and spec.data.folds:
        raise DataError(
            f"folds = {spec.data.folds}: {spec.data.origin} has a validation part of its own; "
            "leave folds out."
        )
    if loaded.validation and "validation_fraction" in spec.data.model_fields_set:
        raise DataError(
            f"validation_fraction = {spec.data.validation_fraction}: {spec.data.origin} has a "
            "validation part of its own; leave it out."
        )
    return data


def _scaled(spec: StudySpec, data: Splits) -> Splits:
    """Return divided data, scaled as the study says. Raises DataError."""
    scale = spec.data.scale
    return data.scaled(automatic(data.train) if scale == "auto" else Scale(scale))


def order_for(spec: StudySpec, data: StudyData) -> Order:
    """Return in which order a new study's epochs go through the examples."""
    if spec.data.order != "auto":
        return Order(spec.data.order)
    largest = max(map(bytes_in_files, data.by_features.values()))
    return Order.BLOCKS if largest > memory_bytes() / 2 else Order.EXACT


def _check_batch_sizes(spec: StudySpec, data: Splits) -> None:
    """Raise LockstepError if a batch would be larger than what a trial is trained on."""
    rows = min(len(train) for train, _ in data.folds)
    batch_sizes = {"space.batch_size": max(spec.space.batch_size)}
    if isinstance(spec.baseline, Baseline):
        batch_sizes["baseline.batch_size"] = spec.baseline.batch_size
    for key, batch_size in batch_sizes.items():
        if batch_size > rows:
            raise LockstepError(
                f"{spec.file}: {key} = {batch_size}: larger than the training split of "
                f"{rows} rows; give {rows} at most"
            )


def described(spec: StudySpec, data: StudyData) -> str:
    """Describe the data in one line: its source, classes, sizes of the splits, and features."""
    names = data.train.class_names
    classes = f"classes {', '.join(names)}" if len(names) <= 12 else f"{len(names):,} classes"
    shape = data.train.image_shape
    sizes = sorted({splits.train.X.shape[1] for splits in data.by_features.values()})
    features = (
        f"{sizes[0]:,} features" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} features"
    )
    if shape is not None:
        features = f"{shape[0]}×{shape[1]} images" + (" in colour" if len(shape) == 3 else "")
    parts = f"{len(data.train):,} train, {len(data.validation):,} validation"
    if spec.data.folds:
        parts = f"{len(data.train):,} in {spec.data.folds} folds"
    return f"{spec.data.origin}, {classes}: {parts}, {len(data.test):,} test, {features}"


def scaling_in_words(spec: StudySpec, data: StudyData) -> str:
    """Describe in one line what is done to the features."""
    match data.scale:
        case Scale.STANDARD:
            return (
                "standardised (mean 0, standard deviation 1 on "
                + ("each fold's" if spec.data.folds else "the")
                + " training part)"
            )
        case Scale.L2:
            return "l2 (each example has the length 1)"
    return "none (pixels from 0 to 1)" if spec.data.scale == "auto" else "none"
