"""Features, targets, weights and groups from what a user has them in: arrays, a data frame, a Table."""

import numbers

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.problems.data import Table


def columns_and_rows(X, y, weights, groups):
    """X (n, d), y (m,) and weights (m,) or None as finite float64, groups as an array or None, names of X's columns."""
    if hasattr(X, "columns"):  # a data frame, of pandas or of another library: nothing is imported to find out
        X, y, weights, groups, features = _from_frame(X, y, weights, groups)
    else:
        if isinstance(X, Table) and y is not None:
            raise ArgumentError(f"y must be left out: the table {X.name} has its target {X.target!r} with it")
        for role, values in (("y", y), ("weights", weights), ("groups", groups)):
            if isinstance(values, str):
                raise ArgumentError(f"{role} may be the name of a column only where X is a data frame, got {values!r}")
        if isinstance(X, Table):
            X, y, features = X.X, X.y, X.features
        else:
            X = _check.array("X", numbers_of("X", X), ndim=2)
            features = tuple(f"x{j + 1}" for j in range(X.shape[1]))
    if y is None:
        raise ArgumentError("y must be given: one target for each row of X")
    y = _check.array("y", numbers_of("y", y), ndim=1)
    if weights is not None:
        weights = _check.array("weights", numbers_of("weights", weights), ndim=1)
    return X, y, weights, groups, features


def _from_frame(frame, *rows):
    names = list(frame.columns)
    shown = [str(name) for name in names]
    doubled = sorted({str(name) for name in names if names.count(name) > 1})
    if doubled:
        raise ArgumentError(f"X has more than one column named {doubled[0]!r}")
    features, taken = list(names), []
    for role, values in zip(("y", "weights", "groups"), rows, strict=True):
        if _is_name(values):
            if values not in names:
                raise ArgumentError(f"{role} is no column of X: {_check.near_matches(values, shown)}")
            features = [name for name in features if name != values]
            values = frame[values] if role == "groups" else _column(frame, values)
        else:
            _check_same_rows(frame, role, values)
        taken.append(values)
    columns = [_column(frame, name) for name in features]
    X = np.column_stack(columns) if columns else np.empty((np.size(taken[0]), 0))
    return X, *taken, tuple(str(name) for name in features)


def _is_name(values):
    return isinstance(values, str) or (isinstance(values, numbers.Integral) and not isinstance(values, bool))


def _check_same_rows(frame, role, values):
    """Arrays go by position, data frames by label: where both have labels, the two must be the same."""
    rows, others = getattr(frame, "index", None), getattr(values, "index", None)
    if hasattr(rows, "equals") and hasattr(others, "equals") and not rows.equals(others):
        raise ArgumentError(f"{role} must have the index of X, row by row; align the two first")


def _column(frame, name):
    values = numbers_of(f"column {name!r} of X", frame[name])
    if not np.isfinite(values).all():
        missing = np.count_nonzero(~np.isfinite(values))
        raise ArgumentError(f"column {name!r} of X must be finite, but {missing} entries are not")
    return values


def numbers_of(what, values):
    """Values as float64, if they are real numbers: no dates, texts or complex numbers, which NumPy would convert."""
    try:
        found = np.asarray(values)
        numeric = found.dtype.kind in "biuf" or (
            found.dtype.kind == "O" and all(isinstance(value, numbers.Real | np.bool_) for value in found.ravel())
        )
        if numeric:
            return found.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        found = None
    kind = getattr(values, "dtype", type(values).__name__ if found is None else found.dtype)
    raise ArgumentError(f"{what} must be an array of numbers, none of them missing, got {kind}")
