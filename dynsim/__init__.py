"""The dynamics of stochastic optimization: chains, their SDE limits, stationary densities and stable step sizes."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "INGD",
    "RR",
    "SDE",
    "SGD",
    "ACClip",
    "Adam",
    "CClip",
    "Clipped",
    "Density",
    "GClip",
    "HeavyBall",
    "MarkovChain",
    "Method",
    "Nesterov",
    "Normalized",
    "Problem",
    "ProjectedGClip",
    "RMSProp",
    "StationaryPoints",
    "StepSizeRange",
    "StochasticINGD",
    "Trajectories",
    "check_gradient",
    "convergence_speed",
    "errors",
    "integrate",
    "iterate",
    "markov_chain",
    "methods",
    "minima",
    "noise",
    "noise_increments",
    "observers",
    "problems",
    "sampling",
    "sampling_quality",
    "schedules",
    "schemes",
    "sde_limit",
    "sdes",
    "stationary_density",
    "step_size_range",
    "theory",
]

if TYPE_CHECKING:
    from dynsim import errors, methods, noise, observers, problems, sampling, schedules, sdes, theory
    from dynsim.chain import iterate
    from dynsim.landscape import StationaryPoints, minima
    from dynsim.methods import (
        INGD,
        RR,
        SGD,
        ACClip,
        Adam,
        CClip,
        Clipped,
        GClip,
        HeavyBall,
        Method,
        Nesterov,
        Normalized,
        ProjectedGClip,
        RMSProp,
        StochasticINGD,
    )
    from dynsim.problems import Problem, check_gradient
    from dynsim.results import Density, StepSizeRange, Trajectories
    from dynsim.sampling import sampling_quality
    from dynsim.sde import SDE, integrate, noise_increments, schemes, sde_limit  # type: ignore[no-redef]
    from dynsim.stability import step_size_range
    from dynsim.stationary import MarkovChain, markov_chain, stationary_density  # type: ignore[no-redef]
    from dynsim.theory import convergence_speed  # type: ignore[no-redef]

# Where each name lives: imported at its first use, so that `import dynsim` takes no time (PEP 562).
_METHODS = (
    *("INGD", "RR", "SGD", "ACClip", "Adam", "CClip", "Clipped", "GClip", "HeavyBall", "Method", "Nesterov"),
    *("Normalized", "ProjectedGClip", "RMSProp", "StochasticINGD"),
)
_HOME = {
    **dict.fromkeys(_METHODS, "methods"),
    "SDE": "sde",
    "Density": "results",
    "MarkovChain": "stationary",
    "Problem": "problems",
    "StationaryPoints": "landscape",
    "StepSizeRange": "results",
    "Trajectories": "results",
    "check_gradient": "problems",
    "convergence_speed": "theory",
    "integrate": "sde",
    "iterate": "chain",
    "markov_chain": "stationary",
    "minima": "landscape",
    "noise_increments": "sde",
    "sampling_quality": "sampling",
    "schemes": "sde",
    "sde_limit": "sde",
    "stationary_density": "stationary",
    "step_size_range": "stability",
}


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f"dynsim.{_HOME[name]}"), name)
    elif name in __all__:
        value = import_module(f"dynsim.{name}")
    else:
        raise AttributeError(f"module 'dynsim' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*__all__, "__version__"])
