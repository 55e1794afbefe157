"""Averages over runs of dependent values, with honest errors: what they are estimated from, and by."""

from dynsim.averages.batches import Batches
from dynsim.averages.estimate import Estimate
from dynsim.averages.estimators import estimate
from dynsim.averages.methods import ESTIMATORS
from dynsim.averages.mixing import autocorrelation, r_hat

__all__ = ["ESTIMATORS", "Batches", "Estimate", "autocorrelation", "estimate", "r_hat"]
