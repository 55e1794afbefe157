"""What is minimized: finite sums of losses."""

from dynsim.problems.data import Table, data_sets, load_data
from dynsim.problems.linear_model import LinearModel, linear_model
from dynsim.problems.problem import Problem
from dynsim.problems.two_valleys import two_valleys

__all__ = ["LinearModel", "Problem", "Table", "data_sets", "linear_model", "load_data", "two_valleys"]
