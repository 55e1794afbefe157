"""The dynamics of stochastic optimization: chains, SDE limits, stationary densities, stable step sizes, long runs."""

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
    "EmpiricalMeasure",
    "Estimate",
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
    "averages",
    "check_gradient",
    "compare_densities",
    "convergence_speed",
    "dynamics",
    "ergodic",
    "errors",
    "gradient_noise",
    "integrate",
    "invariance_test",
    "invariant_measure",
    "iterate",
    "landscape",
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
    "tails",
    "theory",
    "time_average",
    "vanishing_change",
]

if TYPE_CHECKING:
    from dynsim import (
        averages,
        dynamics,
        ergodic,
        errors,
        landscape,
        methods,
        noise,
        observers,
        problems,
        sampling,
        schedules,
        sdes,
        stability,
        tails,
        theory,
    )
    from dynsim.averages import Estimate
    from dynsim.chain import iterate
    from dynsim.compare import DensityComparison, compare_densities
    from dynsim.ergodic import EmpiricalMeasure, invariance_test, time_average, vanishing_change
    from dynsim.landscape import StationaryPoints, gradient_noise, minima
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
    "EmpiricalMeasure": "ergodic",
    "Estimate": "averages",
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
    "gradient_noise": "landscape",
    "integrate": "sde",
    "invariance_test": "ergodic",
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
    "time_average": "ergodic",
    "vanishing_change": "ergodic",
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
