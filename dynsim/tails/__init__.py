"""How heavy the tails of a sample are."""

from dynsim.tails.growth import VarianceGrowth, variance_growth
from dynsim.tails.indices import hill, moment, tail_index
from dynsim.tails.quantiles import QuantileQuantile, qq
from dynsim.tails.sums import mohammadi
from dynsim.tails.values import TailIndex

__all__ = [
    "QuantileQuantile",
    "TailIndex",
    "VarianceGrowth",
    "hill",
    "mohammadi",
    "moment",
    "qq",
    "tail_index",
    "variance_growth",
]
