"""The registered model as MLflow loads and serves it: this code, with the weights in a plain .npz
file.

MLflow copies only this file with the model. So it imports NumPy, pandas and mlflow but nothing of
Lockstep, and it uses no pickle.

Whoever asks is told what is wrong with the rows in one sentence, which MLflow's server sends with
the HTTP status 400.

Notation: n rows, D features, C classes.
"""

from __future__ import annotations

from typing import Any

import mlflow.models
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

SHOWN = 5  # the most names that a message lists

Floats = npt.NDArray[np.float64]


class SoftmaxRegression(PythonModel):
    """A model that predicts a class and the probability of every class.

    Its input is a matrix of raw features (n, D), which it scales as the training examples were. A
    model that was trained on a table also takes a table with the same columns, in any order.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights, the biases, the names, and the statistics for scaling."""
        with np.load(context.artifacts["model"], allow_pickle=False) as arrays:
            self.W: npt.NDArray[np.float32] = arrays["W"]  # (D, C)
            self.b: npt.NDArray[np.float32] = arrays["b"]  # (C,)
            self.class_names = [str(name) for name in arrays["class_names"]]
            self.feature_names = [str(name) for name in arrays["feature_names"]]  # D, or none
            # The set of features in words, empty if it has no name; older models do not say it.
            self.source = str(arrays["features"]) if "features" in arrays else ""
            self.scale = str(arrays["scale"])  # "none", "standard" or "l2"
            self.mean, self.deviation = arrays["mean"], arrays["deviation"]  # (D,), or (0,)

    def scaled(self, X: npt.NDArray[np.float32]) -> Floats:
        """Return raw features, (n, D), scaled. Training rounds them to float32 after that."""
        exact = X.astype(np.float64)
        if self.scale == "standard":
            exact = (exact - self.mean) / self.deviation
        elif self.scale == "l2":
            length = np.sqrt(np.square(exact).sum(axis=1, keepdims=True))
            exact = exact / np.where(length == 0, 1, length)
        return exact

    def features(self, given: Any) -> npt.NDArray[np.float32]:
        """Return what was given as raw features, (n, D).

        Raises MlflowException if it is no such matrix, or a value is missing, no number, or not
        finite in float32.
        """
        if isinstance(given, dict):
            given = _table(given)
        elif _are_records(given):
            given = pd.DataFrame([{key: _plain(row[key]) for key in row} for row in given])
        if isinstance(given, pd.DataFrame) and self._is_named(given):
            X = self._by_name(given)
        else:
            X = self._matrix(given)
        if not len(X):
            raise _refused("there are no rows: give at least one")
        with np.errstate(over="ignore"):
            rows = X.astype(np.float32)
        wrong = ~np.isfinite(rows)
        if wrong.any():
            row, place = (int(each[0]) for each in wrong.nonzero())
            where = f"row {row + 1}, {self._named(place)}"
            if np.isnan(X[row, place]):
                raise _refused(f"{where} has no value (null or NaN): give a finite number")
            raise _refused(
                f"{where} is {X[row, place]:g}: give a number that is finite in float32, at most "
                "3.4e38"
            )
        return rows

    def _is_named(self, table: pd.DataFrame) -> bool:
        """Return whether the columns of a table are to be matched by name."""
        return bool(self.feature_names) and not isinstance(table.columns, pd.RangeIndex)

    def _by_name(self, table: pd.DataFrame) -> Floats:
        """Return the features of a table, (n, D), in the order of training.

        A feature "column=text" is 1 where the column has this text and 0 elsewhere. Raises
        MlflowException if a column is missing, or has something else than in training.
        """
        there = set(table.columns)
        texts: dict[str, list[str]] = {}  # the known texts of a column
        for name in self.feature_names:
            column, equals, text = name.partition("=")
            if name not in there and equals:
                texts.setdefault(column, []).append(text)
        values = {column: _texts(_column(table, column), column, known)
                  for column, known in texts.items()}  # fmt: skip
        features = []
        for name in self.feature_names:
            column, _, text = name.partition("=")
            if name not in there and column in values:
                features.append((values[column] == text).astype(np.float64))
            else:
                features.append(_numbers(_column(table, name), f"column {_shown(name)}"))
        return np.stack(features, axis=1)

    def _matrix(self, given: Any) -> Floats:
        """Return rows without names as numbers, (n, D). Raises MlflowException if they are none."""
        D = len(self.W)
        try:
            array = np.asarray(given)
        except ValueError as error:
            raise _refused(f"every row must have {D} numbers, but their lengths differ") from error
        if not array.size:
            return np.empty((0, D))
        if array.ndim != 2 or array.shape[1] != D:
            of = f" of the features {_shown(self.source)}" if self.source else ""
            raise _refused(
                f"rows of {D} numbers each{of} are needed, as a list of lists, not values of the "
                f"shape {array.shape}"
            )
        if array.dtype.kind in "iufb":
            return array.astype(np.float64)
        columns = pd.DataFrame(array)
        return np.stack([_numbers(columns[d], self._named(d)) for d in range(D)], axis=1)

    def _named(self, place: int) -> str:
        """Return what a column is called in a message."""
        names = self.feature_names
        return f"column {_shown(names[place])}" if names else f"column {place + 1}"

    # model_input has no type hint: MLflow would take it as a schema, but the signature is one.
    def predict(  # type: ignore[no-untyped-def]
        self, context: PythonModelContext, model_input, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a table of n rows: the predicted class, and the probability of every class.

        Raises MlflowException as `features` does.
        """
        exact = self.scaled(self.features(model_input))
        with np.errstate(over="ignore", invalid="ignore"):
            Z = (exact.astype(np.float32) @ self.W + self.b).astype(np.float64)
        far = ~np.isfinite(Z).all(axis=1)  # too large for float32, in which training computes
        Z[far] = exact[far] @ self.W.astype(np.float64) + self.b
        Z -= Z.max(axis=1, keepdims=True)
        P = np.exp(Z)
        P /= P.sum(axis=1, keepdims=True)
        classes = [self.class_names[c] for c in P.argmax(axis=1)]
        columns = {f"probability_{name}": P[:, c] for c, name in enumerate(self.class_names)}
        return pd.DataFrame({"class": classes, **columns})


def _table(given: dict[str, Any]) -> pd.DataFrame:
    """Return columns by name as a table. Raises MlflowException if their lengths differ."""
    try:
        return pd.DataFrame({name: np.atleast_1d(values) for name, values in given.items()})
    except ValueError as error:
        raise _refused("each column must be a list of values, all of one length") from error


def _are_records(given: Any) -> bool:
    """Return whether rows are given by name, as a list of dictionaries."""
    if isinstance(given, np.ndarray) and given.ndim != 1:
        return False
    rows = isinstance(given, list | np.ndarray)
    return rows and len(given) > 0 and all(isinstance(row, dict) for row in given)


def _plain(value: Any) -> Any:
    """Return a value that MLflow has made an array without dimensions as it was."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _column(table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Return a column of a table. Raises MlflowException if it is missing or occurs twice."""
    if name not in table.columns:
        there = ", ".join(map(_shown, table.columns[:SHOWN]))
        more = ", ..." if len(table.columns) > SHOWN else ""
        raise _refused(
            f"there is no column {_shown(name)}, which the model needs: columns are matched by "
            f"name, and there are {there}{more}"
        )
    column = table[name]
    if isinstance(column, pd.DataFrame):
        raise _refused(f"there are two columns {_shown(name)}: give each once")
    return column


def _texts(column: pd.Series[Any], name: str, known: list[str]) -> npt.NDArray[np.str_]:
    """Return a column of texts, (n,). Raises MlflowException if one is missing or not known."""
    texts = column.astype(str)
    wrong = ~texts.isin(known).to_numpy(bool)
    if wrong.any():
        row = int(wrong.argmax())
        has = "no value" if column.isna().iloc[row] else repr(_shown(texts.iloc[row]))
        met = ", ".join(map(_shown, known[:SHOWN])) + (", ..." if len(known) > SHOWN else "")
        raise _refused(f"row {row + 1}, column {_shown(name)} has {has}: training met {met}")
    return np.asarray(texts.to_numpy(), dtype=np.str_)


def _numbers(column: pd.Series[Any], name: str) -> Floats:
    """Return a column as numbers, (n,), NaN where a value is missing.

    name: what it is called in a message. Raises MlflowException if a value is no number.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = (numbers.isna() & column.notna()).to_numpy() & ~column.isin(["NaN", "nan"]).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise _refused(f"row {row + 1}, {name} is {_shown(column.iloc[row])!r}, which is no number")
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _shown(value: object) -> str:
    """Return a name or value as it stands in a message: printable, and not long."""
    return "".join(each for each in str(value) if each.isprintable())[:80]


def _refused(sentence: str) -> MlflowException:
    """Return the error that MLflow's server answers with the HTTP status 400."""
    return MlflowException(sentence, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(SoftmaxRegression())
