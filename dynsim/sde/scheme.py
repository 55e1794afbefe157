"""The schemes for SDEs: what they are called, their orders, and the kinds of noise they are for."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable

ADDITIVE, SCALAR, DIAGONAL, COMMUTATIVE, GENERAL = "additive", "scalar", "diagonal", "commutative", "general"
NOISES = (ADDITIVE, SCALAR, DIAGONAL, COMMUTATIVE, GENERAL)


@dataclass(frozen=True)
class Scheme:
    """A way to take a step of an SDE.

    Attributes
    ----------
    name : str
        What ``integrate(scheme=…)`` calls it.
    strong_order : float or None
        γ in ``E|X_h − X| ≤ C h^γ`` for smooth coefficients; None where there is none. ``source`` names noises for which
        it differs.
    weak_order : float
        β in ``|E φ(X_h) − E φ(X)| ≤ C h^β``.
    noise : tuple of str
        The kinds of noise that it is for, out of additive, scalar, diagonal, commutative and general.
    evaluations : str
        How often drift μ and noise σ are evaluated in a step, m being ``noise_dim``.
    source : str
        Where it is from, and what it is good for.
    """

    name: str
    strong_order: float | None
    weak_order: float
    noise: tuple[str, ...]
    evaluations: str
    source: str
    _module: str = field(repr=False)
    _n_work: Callable[[int], int] = field(repr=False)  # scratch blocks, from dim
    _kinds: Callable[[int], int] = field(repr=False)  # rows of noise, from noise_dim
    _over_h: bool = field(repr=False, default=False)  # whether it takes ΔW/h, and not ΔW
    _stratonovich: bool = field(repr=False, default=False)


_ALL = (
    Scheme(
        *("euler-maruyama", 0.5, 1.0, NOISES, "1 μ, 1 σ"),
        "Maruyama (1955); strong order 1 for additive noise",
        *("euler_maruyama", lambda dim: 1, lambda m: 1),
        _over_h=True,
    ),
    Scheme(
        *("milstein", 1.0, 1.0, (ADDITIVE, SCALAR, DIAGONAL, COMMUTATIVE), "1 μ, 3 σ (commutative: 2 m + 1 σ)"),
        "Kloeden & Platen (1992), (11.1.3), with difference quotients for derivatives",
        *("milstein", lambda dim: 4, lambda m: 1),
    ),
    Scheme(
        *("sra", 1.5, 2.0, (ADDITIVE,), "2 μ, 3 σ"),
        "SRA1 of Rößler (2010)",
        *("sra", lambda dim: 5, lambda m: 2),
    ),
    Scheme(
        *("sri", 1.5, 2.0, (ADDITIVE, SCALAR, DIAGONAL), "2 μ, 10 σ"),
        "SRIW1 of Rößler (2010)",
        *("sri", lambda dim: 5, lambda m: 2),
    ),
    Scheme(
        *("heun", 1.0, 1.0, NOISES, "2 μ, 2 σ"),
        "Rümelin (1982); takes the Stratonovich drift; strong order 1/2 for noise that does not commute",
        *("heun", lambda dim: 3, lambda m: 1),
        _over_h=True,
        _stratonovich=True,
    ),
    Scheme(
        *("platen", None, 2.0, NOISES, "2 μ, 5 m + 2 σ"),
        "Kloeden & Platen (1992), (15.1.3): weak order 2 for any noise",
        *("platen", lambda dim: 7, lambda m: 1 + m // 2),
    ),
    Scheme(
        *("weak-euler", None, 1.0, NOISES, "1 μ, 1 σ"),
        "Kloeden & Platen (1992), (14.1.2): Euler with ±√h for ΔW",
        *("weak_euler", lambda dim: 2, lambda m: 1),
    ),
    Scheme(
        *("tamed-euler", 0.5, 1.0, NOISES, "1 μ, 1 σ"),
        "Hutzenthaler, Jentzen & Kloeden (2012): for drifts that grow faster than linearly, on which Euler blows up",
        *("tamed_euler", lambda dim: 3, lambda m: 1),
    ),
    Scheme(
        *("implicit-euler", 0.5, 1.0, NOISES, "(dim + 1) μ an iteration, 1 σ"),
        "Kloeden & Platen (1992), (12.2.2): implicit in the drift, for stiff ones; solved by Newton's method",
        *("implicit_euler", lambda dim: 6 + dim, lambda m: 1),
    ),
)

schemes: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _ALL})
"""The schemes by name."""


@dataclass(frozen=True)
class Stepper:
    """A scheme made ready for one SDE: its kernel, the drift it takes, and the memory and noise it needs."""

    step: object
    drift: object
    n_work: int
    kinds: int
    over_h: bool

    @property
    def memory(self):
        """Blocks that it works on, as far as they matter for the cache."""
        return self.n_work

    def unit(self, h):
        """Standard deviation of its noise: that of ΔW/h or of ΔW."""
        return 1.0 / math.sqrt(h) if self.over_h else math.sqrt(h)


def scheme_for(name, sde, start=None, t_end=1.0) -> Stepper:
    """The stepper of a scheme for an SDE; refuses noise that the scheme is not for, as seen around ``start`` too."""
    if not isinstance(name, str):
        raise ArgumentError(f"scheme must be a name, one of {', '.join(schemes)}, got {name!r}")
    scheme = schemes[_check.choice("scheme", name, schemes)]
    kind = GENERAL if scheme.noise == NOISES else sde._noise_around(start, t_end)
    if kind not in scheme.noise:
        fitting = [other.name for other in _ALL if kind in other.noise]
        raise NotApplicable(
            f"scheme {name!r} is for {_listed(scheme.noise)} noise, and {sde.name} has {kind} noise; "
            f"for that there are {_listed(fitting)}"
        )
    module = import_module(f"dynsim._kernels.schemes.{scheme._module}")
    step = getattr(module, "step", None)
    if name == "milstein":
        step = module.step_commutative if kind == COMMUTATIVE else module.step_diagonal
    drift = sde._stratonovich_field if scheme._stratonovich else sde._drift_field
    return Stepper(step, drift, scheme._n_work(sde.dim), scheme._kinds(sde.noise_dim), scheme._over_h)


def _listed(words):
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
