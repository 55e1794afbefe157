"""Which term of the sum is drawn at a step, and how its gradient is reweighted so that the step stays unbiased.

A scheme draws term n with probability p_n(θ) and multiplies its gradient by a_n/p_n, a_n being the term's weight in
L(θ) = Σ a_n l_n(θ). Whatever p, the expected step is the full gradient. Batches are averages of independent draws,
except for :class:`WithoutReplacement` and :class:`Reshuffled`.
"""

from dynsim.sampling.base import Estimator, Sampling
from dynsim.sampling.by_norm import Custom, GradientNorm, Mixture, Stale
from dynsim.sampling.fixed import Balanced, Lipschitz, Proportions, Uniform
from dynsim.sampling.measures import Betweenness, GradientVariance, between, mean_square, variance
from dynsim.sampling.pools import GroupNorm, Presample, Rejection
from dynsim.sampling.quality import Distances, SamplingQuality, sampling_quality
from dynsim.sampling.shuffled import Reshuffled, WithoutReplacement

__all__ = [
    "Balanced",
    "Betweenness",
    "Custom",
    "Distances",
    "Estimator",
    "GradientNorm",
    "GradientVariance",
    "GroupNorm",
    "Lipschitz",
    "Mixture",
    "Presample",
    "Proportions",
    "Rejection",
    "Reshuffled",
    "Sampling",
    "SamplingQuality",
    "Stale",
    "Uniform",
    "WithoutReplacement",
    "between",
    "mean_square",
    "sampling_quality",
    "variance",
]
