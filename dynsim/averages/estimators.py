"""Estimators of the error of an average over dependent values, each by its name."""

import numpy as np

from dynsim.averages.batches import Batches
from dynsim.averages.estimate import Estimate

ESTIMATORS = ("autoregressive",)


def estimate(batches: Batches, *, method="autoregressive", burn_in="auto", shape=(), names=(), n_diverged=0) -> Estimate:
    """The average of φ with its error; raises TooShort or InfiniteVariance where that cannot be honest.

    ``burn_in`` is a time in the unit of the run, or "auto"; ``shape`` that of φ's value.
    """
    raise NotImplementedError
