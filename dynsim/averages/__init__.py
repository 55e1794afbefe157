"""Averages over runs of dependent values, with honest errors: what they are estimated from, and by."""

from dynsim.averages.batches import Batches
from dynsim.averages.estimate import Estimate
from dynsim.averages.estimators import ESTIMATORS, estimate

__all__ = ["ESTIMATORS", "Batches", "Estimate", "estimate"]
