"""The table [data] of a study file: which examples, and what is held out to choose by."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from core.datasets.source import suffix_of
from core.datasets.tables import SUFFIXES
from search.spec.feature_files import NamedFeatures, named_files
from search.spec.fields import Integer, Label, Line, Number, Seed, Table, distinct

FILES = (".npz", ".npy", *SUFFIXES)
# These keys were added when studies had been stored already.
_LATER: dict[str, Any] = {
    "source": "",
    "features": None,
    "order": "auto",
    "label": None,
    "labels": None,
    "split": None,
    "groups": None,
    "folds": None,
    "categorical": None,
    "ignore": [],
}

Named = Annotated[Line, Field(min_length=1)]
FOLDER = "folder"  # the key of the study file's folder in the context of a validation


def _feature_files(given: object, info: ValidationInfo) -> object:
    """Return the files of features by name; see `named_files`."""
    folder = (info.context or {}).get(FOLDER, Path())
    return None if given is None else named_files(given, folder)


class DataSpec(Table):
    """The table [data].

    source: a data set that is known, or the path of a file; empty with ``features``.
    features: the .npy files with several sets of features of the same examples, by name, in the
        order of the study file. Which of them is best is searched, too.
    classes: the labels to tell apart.
    label, labels: the column of a table, and the .npy file, with the labels.
    split, groups: the column, the array of an .npz file or the .npy file that says which part a row
        is for, and which rows belong together.
    categorical: how columns of texts become numbers.
    ignore: the columns or arrays to leave out.
    scale: what is done to the features; see `scaling.py`. "auto": nothing to pixels, "standard" to
        everything else.
    validation_fraction: of the training examples, held out unless the source has its own part.
    order: in which order an epoch goes through the examples; see `core/trainer/order.py`. "auto":
        "exact" unless the features are in files that need more than half of the memory.
    folds: in how many folds the training examples are divided instead: each configuration is
        trained once for each fold, and scored on all examples that the folds hold out.
    """

    source: Named = ""
    features: Annotated[dict[str, str], BeforeValidator(_feature_files)] | None = None
    classes: Annotated[tuple[Label, ...], Field(min_length=2), AfterValidator(distinct)] | None = (
        None
    )
    label: Named | None = None
    labels: Named | None = None
    split: Named | None = None
    groups: Named | None = None
    categorical: Literal["one-hot"] | None = None
    ignore: Annotated[tuple[Named, ...], AfterValidator(distinct)] = ()
    scale: Literal["auto", "none", "standard", "l2"] = "auto"
    validation_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    folds: Annotated[Integer, Field(ge=2, le=100)] | None = None
    order: Literal["auto", "exact", "blocks"] = "auto"
    seed: Seed = 0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.source and self.features is None:
            raise ValueError(
                "source is missing: name a data set or a file, or give several files of features "
                "of the same examples as features"
            )
        if self.source and self.features is not None:
            raise ValueError("source and features are both given: give one of them")
        suffix = suffix_of(self.source) if suffix_of(self.source) in FILES else ""
        if self.features is not None:
            suffix = ".npy"
        is_table = suffix in SUFFIXES
        if is_table and self.label is None:
            raise ValueError(
                "label is missing: name the column of the table that has the labels, such as "
                'label = "class"'
            )
        if self.folds is not None and "validation_fraction" in self.model_fields_set:
            raise ValueError(
                f"folds = {self.folds}: every example is held out once; leave validation_fraction "
                "out"
            )
        if suffix == ".npy" and self.labels is None:
            raise ValueError(
                "labels is missing: an .npy file has X alone; name that of the labels, such as "
                'labels = "y.npy"'
            )
        self._check_fitting(suffix)
        if suffix == ".npy":
            for key in ("labels", "split", "groups"):
                if (value := getattr(self, key)) and suffix_of(value) != ".npy":
                    raise ValueError(f"{key} = {value!r}: give the path of an .npy file")
                self._check_apart(key)
        named = [self.label, self.split, self.groups, *self.ignore] if suffix != ".npy" else []
        given = [name for name in named if name is not None]
        if twice := next((name for name in given if given.count(name) > 1), None):
            raise ValueError(f"{twice!r} is named for two purposes: give it one")
        return self

    def _check_fitting(self, suffix: str) -> None:
        """Raise ValueError if a key is given that the source has no use for.

        suffix: that of the source's files, "" if it is a data set.
        """
        is_table = suffix in SUFFIXES
        right = {
            "label": is_table,
            "labels": suffix == ".npy",
            "split": suffix != "",
            "groups": suffix != "",
            "categorical": is_table,
            "ignore": is_table or suffix == ".npz",
        }
        which = {"label": "tables", "labels": ".npy files", "categorical": "tables"}
        which["ignore"] = "tables and .npz files"
        for key, fits in right.items():
            if (value := getattr(self, key)) and not fits:
                shown = list(value) if key == "ignore" else value
                raise ValueError(
                    f"{key} = {shown!r}: it is for {which.get(key, 'files')} only, and "
                    f"{'source' if self.source else 'features'} is {self.origin!r}; leave {key} "
                    "out"
                )

    def _check_apart(self, key: str) -> None:
        """Raise ValueError if the file of this key is one of the files of features, too."""
        value = getattr(self, key)
        if value is None or self.features is None:
            return
        if PurePath(value) in map(PurePath, self.features.values()):
            raise ValueError(
                f"features and {key} both name {value!r}: give a pattern or a list of the files of "
                'features alone, such as "layer-*.npy"'
            )

    @property
    def several(self) -> bool:
        """Whether there are several sets of features, of which one is chosen."""
        return self.features is not None and len(self.features) > 1

    def named(self, features: str) -> NamedFeatures | None:
        """Return a set of features with its file, None unless there are several sets."""
        if self.features is None or not self.several:
            return None
        return NamedFeatures(features, self.features[features])

    @property
    def origin(self) -> str:
        """What the data is read from, in one line: the source, or the files of features."""
        if self.features is None:
            return self.source
        first, *others = self.features.values()
        return f"{first} … {others[-1]} ({1 + len(others)} sets of features)" if others else first

    def defining(self) -> dict[str, Any]:
        """Return the keys that decide which examples there are, as plain JSON values.

        Those that were added later are left out while they have their defaults. The scale is left
        out, because the data decides what "auto" is: a study stores what it came to.
        """
        dumped = self.model_dump(mode="json", exclude={"scale"})
        if self.features is not None:
            # As pairs, because their order decides the numbers of a grid's trials.
            dumped["features"] = [[name, file] for name, file in self.features.items()]
        return {
            key: value for key, value in dumped.items() if key not in _LATER or value != _LATER[key]
        }
