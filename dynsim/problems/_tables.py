"""Features and target from what a user has them in: arrays, a data frame, a Table."""

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.problems.data import Table


def columns_and_target(X, y):
    """X (n, d) and y (m,) as finite float64, and the names of the columns of X."""
    if isinstance(X, Table):
        if y is not None:
            raise ArgumentError(f"y must be left out: the table {X.name} has its target {X.target!r} with it")
        return X.X, X.y, X.features
    if y is None:
        raise ArgumentError("y must be given: one target for each row of X")
    if hasattr(X, "columns"):  # a data frame, of pandas or of another library: nothing is imported to find out
        return _from_frame(X, y)
    if isinstance(y, str):
        raise ArgumentError(f"y may be the name of a column only where X is a data frame, got {y!r}")
    X = _check.array("X", X, ndim=2)
    return X, _check.array("y", y, ndim=1), tuple(f"x{j + 1}" for j in range(X.shape[1]))


def _from_frame(frame, y):
    names = list(frame.columns)
    doubled = sorted({str(name) for name in names if names.count(name) > 1})
    if doubled:
        raise ArgumentError(f"X has more than one column named {doubled[0]!r}")
    if isinstance(y, str):
        if y not in names:
            raise ArgumentError(f"y is no column of X: {_check.near_matches(y, map(str, names))}")
        names.remove(y)
        target = _column(frame, y)
    else:
        _check_same_rows(frame, y)
        target = _check.array("y", y, ndim=1)
    columns = [_column(frame, name) for name in names]
    X = np.column_stack(columns) if columns else np.empty((target.size, 0))
    return X, target, tuple(str(name) for name in names)


def _check_same_rows(frame, y):
    """Arrays go by position, data frames by label: where both have labels, the two must be the same."""
    rows, others = getattr(frame, "index", None), getattr(y, "index", None)
    if hasattr(rows, "equals") and hasattr(others, "equals") and not rows.equals(others):
        raise ArgumentError("y must have the index of X, row by row; align the two first")


def _column(frame, name):
    try:
        values = np.asarray(frame[name], dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"column {name!r} of X must be numbers throughout, got {frame[name].dtype}") from None
    if not np.isfinite(values).all():
        missing = np.count_nonzero(~np.isfinite(values))
        raise ArgumentError(f"column {name!r} of X must be finite, but {missing} entries are not")
    return values
