"""Additive noise ξ on the gradient, θ ← θ − η(g + ξ), independent in every coordinate, step and path.

The laws have mean 0 wherever they have a mean. Their ``tail_index`` says which moments are finite: E|ξ|^q for
q < tail_index and no other.

Draws are made of 64 random bits, so that tails are right down to probabilities of 2^-62, which no run can tell from
exact; only ``Gaussian`` ends earlier, at 8.5 standard deviations. No draw is larger than about 1e154 scales, which cuts
something off only where the tail index is below 0.13.
"""

from dynsim.noise.base import Noise
from dynsim.noise.laws import Gaussian, Pareto, StudentT, TwoPoint
from dynsim.noise.stable import AlphaStable

__all__ = ["AlphaStable", "Gaussian", "Noise", "Pareto", "StudentT", "TwoPoint"]
