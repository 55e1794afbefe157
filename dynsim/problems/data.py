"""Tables of numbers for linear models: data sets that come with dynsim, and a user's CSV files."""

import csv
import math
import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, DataError

# name: (file, target column, one line for lists, source)
_SHIPPED = {
    "stars-cyg": (
        "stars_cyg.csv",
        "log_light",
        "47 stars of cluster CYG OB1: light against temperature, four giants as outliers",
        "P. J. Rousseeuw & A. M. Leroy (1987), Robust Regression and Outlier Detection, Wiley, p. 27, table 3",
    ),
    "stackloss": (
        "stackloss.csv",
        "stack_loss",
        "21 days of a plant oxidizing ammonia to nitric acid: loss against three settings",
        "K. A. Brownlee (1965), Statistical Theory and Methodology in Science and Engineering, 2nd ed., Wiley, p. 454",
    ),
}


@dataclass(frozen=True, eq=False)
class Table:
    """Features and target of a data set.

    Attributes
    ----------
    X : ndarray, shape (n, d)
    y : ndarray, shape (n,)
    features : tuple of str
        Names of the columns of ``X``.
    target : str
        Name of ``y``.
    name : str
    source : str
        Where the data come from.
    """

    X: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    features: tuple[str, ...]
    target: str
    name: str
    source: str = field(repr=False)


def data_sets() -> dict[str, str]:
    """Names of the data sets that come with dynsim, each with a line about it."""
    return {name: line for name, (_, _, line, _) in _SHIPPED.items()}


def load_data(name: str | os.PathLike, target: str | None = None, *, few_rows: bool = False) -> Table:
    """A data set that comes with dynsim, or a CSV file of numbers with a line of column names.

    Parameters
    ----------
    name : str or path
        ``"stars-cyg"``, ``"stackloss"``, or the path of a CSV file.
    target : str, optional
        The column to be explained by the others; needed for a file.
    few_rows : bool, optional
        Whether fewer rows than columns, which leave a linear model undetermined, are accepted.

    Raises
    ------
    DataError
        If there is no such file, or it is empty, ragged, not numeric, has NaN or infinite entries, lacks the target
        column, or has fewer rows than columns without ``few_rows``. The message names the line.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.problems.load_data("stars-cyg")
    Table(features=('log_temperature',), target='log_light', name='stars-cyg')
    """
    if str(name) in _SHIPPED:
        file, default, _, source = _SHIPPED[str(name)]
        text = resources.files("dynsim.problems").joinpath("data", file).read_text(encoding="utf-8")
        return _table(text, default if target is None else target, str(name), source, few_rows)
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"no file and no data set {str(name)!r}; {_known(name)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a text file: {error}") from None
    if target is None:
        raise ArgumentError(f"target must name the column of {path} to be explained by the others")
    return _table(text, target, path.name, str(path), few_rows)


def _known(name):
    return _check.near_matches(str(name), _SHIPPED).split("; ")[1].replace("it may be", "data sets are")


def _table(text, target, name, source, few_rows):
    columns, values = _parse(text, name)
    if target not in columns:
        raise DataError(f"{name} has no column for the target: {_check.near_matches(target, columns)}")
    n, d = values.shape
    if d < 2:
        raise DataError(f"{name} has only the target column {target!r}, nothing to explain it by")
    if n < d and not few_rows:
        raise DataError(f"{name} has {n} rows, fewer than its {d} columns: a linear model is not determined by them")
    at = columns.index(target)
    features = tuple(column for column in columns if column != target)
    return Table(np.delete(values, at, axis=1), values[:, at].copy(), features, target, name, source)


def _parse(text, name):
    """Column names and values (n, columns) of CSV text."""
    try:
        rows = [(reader.line_num, row) for reader in [csv.reader(text.splitlines())] for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"{name} is not a CSV file: {error}") from None
    if not rows:
        raise DataError(f"{name} is empty")
    columns = [column.strip() for column in rows[0][1]]
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        raise DataError(f"{name} has no commas in its first line: fields must be separated by commas")
    if "" in columns:
        raise DataError(f"{name} has a column without a name, number {columns.index('') + 1}")
    if all(_number(column) is not None for column in columns):
        raise DataError(f"{name} has numbers in its first line, where the names of the columns should be")
    doubled = sorted({column for column in columns if columns.count(column) > 1})
    if doubled:
        raise DataError(f"{name} has more than one column named {doubled[0]!r}")
    if len(rows) == 1:
        raise DataError(f"{name} has a line of column names but no data")
    values = np.empty((len(rows) - 1, len(columns)))
    for i, (line, row) in enumerate(rows[1:]):
        if len(row) != len(columns):
            raise DataError(f"{name}, line {line}: {len(row)} fields, but there are {len(columns)} columns")
        for j, entry in enumerate(row):
            value = _number(entry)
            if value is None or not math.isfinite(value):
                raise DataError(f"{name}, line {line}, column {columns[j]!r}: {entry.strip()!r} is not a finite number")
            values[i, j] = value
    return columns, values


def _number(entry):
    try:
        return None if "_" in entry else float(entry)  # Python reads 1_0 as 10
    except ValueError:
        return None
