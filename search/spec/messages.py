"""One sentence for each mistake in a study file: file, key, value and what is expected."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

# pydantic's path to a value in a union has names in it that are not keys of the file.
_UNIONS = {"learning_rate": ("range", "values")}
_UNIONS["weight_decay"] = _UNIONS["learning_rate"]
_UNIONS["baseline"] = ("a configuration", "with a solver")
_UNIONS |= dict.fromkeys(("bias", "momentum", "schedule", "warmup_epochs"), ("value", "values"))
_EXPECTED = {
    "dict_type": "give a table of keys",
    "model_type": "give a table of keys",
    "tuple_type": "give a list of values",
    "float_type": "give a number",
    "int_type": "give a whole number",
    "finite_number": "give a finite number",
    "string_type": "give a text in quotes",
    "bool_type": "give true or false",
}

# What people call a key elsewhere, which is not spelt like ours.
_MEANT = {
    "min": "low", "start": "low", "max": "high", "stop": "high", "step": "points", "num": "points",
    "lr": "learning_rate", "alpha": "learning_rate", "wd": "weight_decay", "l2": "weight_decay",
    "n_trials": "trials", "max_trials": "trials", "timeout": "minutes", "max_epochs": "epochs",
    "cv": "folds", "k_folds": "folds", "path": "source", "file": "source", "target": "label",
}  # fmt: skip


def shortened(value: object, limit: int = 60) -> str:
    """Return a value as it would be in a study file, cut to a readable length."""
    try:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:  # Python does not print integers with thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def sentence(path: Path | str, error: ValidationError, known: type[BaseModel]) -> str:
    """Return one sentence about the first mistake in ``error``; unknown keys come first.

    A misspelt key is also reported as missing, which would be the less useful message.

    path: of the file, or also what changes it.
    """
    mistakes = error.errors(include_url=False)
    mistake = min(mistakes, key=lambda each: each["type"] != "extra_forbidden")
    keys = _keys(mistake["loc"])
    # An unknown key may be any text, so it is cut and its control characters are escaped.
    key = ".".join(repr(key)[1:-1][:80] for key in keys) or "the file"
    value = shortened(mistake["input"])
    match mistake["type"]:
        case "missing":
            return f"{path}: {key} is missing: the file must give it"
        case "extra_forbidden":
            names = _names(known, mistake["loc"][:-1])
            close = [name for name in (_MEANT.get(keys[-1]),) if name in names]
            close += difflib.get_close_matches(keys[-1], names, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"{path}: unknown key {key} = {value}: {hint}Known here: {', '.join(names)}"
        case "value_error":
            reason = str(mistake["ctx"]["error"])
            return f"{path}: {key}: {reason}" if keys else f"{path}: {reason}"
        case "literal_error" | "enum":
            return f"{path}: {key} = {value}: must be {mistake['ctx']['expected']}"
        case "too_short":
            return f"{path}: {key} = {value}: give at least {mistake['ctx']['min_length']} values"
        case "string_pattern_mismatch" if keys[-1] == "name":
            right = (
                "lower-case letters, digits, '.', '_' and '-', at most 64, a letter or digit first"
            )
            return f"{path}: name = {value}: give {right}"
        case "string_pattern_mismatch":
            return f"{path}: {key} = {value}: give one line without control characters"
        case "tuple_type" if isinstance(mistake["input"], int | float):
            return f"{path}: {key} = {value}: give a list of values, such as [{value}]"
        case kind if kind in _EXPECTED:
            return f"{path}: {key} = {value}: {_EXPECTED[kind]}"
    message = mistake["msg"].replace("Input should be", "must be")
    return f"{path}: {key} = {value}: {message[0].lower()}{message[1:]}"


def _keys(loc: Sequence[int | str]) -> list[str]:
    """Return the keys of the file in pydantic's path to a mistake."""
    keys: list[str] = []
    for depth, key in enumerate(loc):
        before = str(loc[depth - 1]) if depth else ""
        # After the index of a label, the path has the label's type, which is not a key.
        of_label = depth > 1 and loc[depth - 2] == "classes"
        if key not in _UNIONS.get(before, ()) and not of_label:
            keys.append(str(key))
    return keys


def _names(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Return the keys that are allowed in the table at ``loc``, in any of its forms."""
    models = [model]
    for key in loc:
        fields = [each.model_fields[str(key)] for each in models if key in each.model_fields]
        models = [table for field in fields for table in _tables(field.annotation)] or models
    return list(dict.fromkeys(name for each in models for name in each.model_fields))


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation is or contains."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in getattr(annotation, "__args__", ()) for table in _tables(part)]
