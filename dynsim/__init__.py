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
    "DensityComparison",
    "FokkerPlanck",
    "GClip",
    "GridFunction",
    "HeavyBall",
    "LargeDeviations",
    "MarkovChain",
    "MarkovProcess",
    "Method",
    "Nesterov",
    "Normalized",
    "Problem",
    "ProjectedGClip",
    "QuasiPotential",
    "RMSProp",
    "ReactiveFlux",
    "Spectrum",
    "StabilityMap",
    "StationaryFluctuations",
    "StationaryPoints",
    "StepSizeRange",
    "StochasticINGD",
    "Trajectories",
    "TransferOperator",
    "check_gradient",
    "compare_densities",
    "convergence_speed",
    "errors",
    "integrate",
    "invariant_measure",
    "iterate",
    "large_deviations",
    "markov_chain",
    "methods",
    "minima",
    "noise",
    "noise_increments",
    "observers",
    "problems",
    "quasi_potential",
    "sampling",
    "sampling_quality",
    "schedules",
    "schemes",
    "sde_limit",
    "sdes",
    "stability",
    "stability_map",
    "stationary_density",
    "step_size_range",
    "theory",
]

if TYPE_CHECKING:
    from dynsim import errors, methods, noise, observers, problems, sampling, schedules, sdes, stability, theory
    from dynsim.chain import iterate
    from dynsim.compare import DensityComparison, compare_densities
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
    from dynsim.results import (
        Density,
        GridFunction,
        ReactiveFlux,
        Spectrum,
        StabilityMap,
        StationaryFluctuations,
        StepSizeRange,
        Trajectories,
    )
    from dynsim.sampling import sampling_quality
    from dynsim.sde import SDE, integrate, noise_increments, schemes, sde_limit  # type: ignore[no-redef]
    from dynsim.stability import stability_map, step_size_range
    from dynsim.stationary import (  # type: ignore[no-redef]
        FokkerPlanck,
        LargeDeviations,
        MarkovChain,
        MarkovProcess,
        QuasiPotential,
        TransferOperator,
        invariant_measure,
        large_deviations,
        markov_chain,
        quasi_potential,
        stationary_density,
    )
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
    "DensityComparison": "compare",
    "FokkerPlanck": "stationary",
    "GridFunction": "results",
    "LargeDeviations": "stationary",
    "MarkovChain": "stationary",
    "MarkovProcess": "stationary",
    "Problem": "problems",
    "QuasiPotential": "stationary",
    "ReactiveFlux": "results",
    "Spectrum": "results",
    "StabilityMap": "results",
    "StationaryFluctuations": "results",
    "StationaryPoints": "landscape",
    "StepSizeRange": "results",
    "Trajectories": "results",
    "TransferOperator": "stationary",
    "check_gradient": "problems",
    "compare_densities": "compare",
    "convergence_speed": "theory",
    "integrate": "sde",
    "invariant_measure": "stationary",
    "iterate": "chain",
    "large_deviations": "stationary",
    "markov_chain": "stationary",
    "minima": "landscape",
    "noise_increments": "sde",
    "quasi_potential": "stationary",
    "sampling_quality": "sampling",
    "schemes": "sde",
    "sde_limit": "sde",
    "stability_map": "stability",
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
