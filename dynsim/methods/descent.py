"""Stochastic gradient descent, with any sampling scheme."""

from dataclasses import dataclass, field

from dynsim import _check
from dynsim.sampling import Balanced, GradientNorm, Sampling, Uniform

_NAMES = {Uniform: "SGD", GradientNorm: "RR", Balanced: "Balanced"}


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent θ ← θ − η (a_n/p_n) ∇l_n(θ), n drawn with probability p_n.

    AY (3.2) with uniform sampling, AY (3.5) with ``sampling.GradientNorm()``, AY (2.2) with fixed proportions.

    Parameters
    ----------
    step_size : float
        η > 0.
    sampling : Sampling, optional
        Which term is drawn; ``sampling.Uniform()`` by default.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.SGD(step_size=0.04)
    SGD(step_size=0.04, sampling=Uniform())
    """

    step_size: float
    sampling: Sampling = field(default_factory=Uniform)

    def __post_init__(self):
        object.__setattr__(self, "step_size", _check.positive("step_size", self.step_size))
        _check.instance("sampling", self.sampling, Sampling, "a scheme of dynsim.sampling, such as sampling.Uniform()")

    @property
    def name(self) -> str:
        """Short name for tables and legends."""
        return _NAMES.get(type(self.sampling), f"SGD, {type(self.sampling).__name__}")


def RR(step_size: float) -> SGD:
    """Resampling and reweighting, AY (3.5): ``SGD`` with ``sampling.GradientNorm()``.

    Parameters
    ----------
    step_size : float
        η > 0.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.RR(step_size=0.04)
    SGD(step_size=0.04, sampling=GradientNorm())
    """
    return SGD(step_size, GradientNorm())
