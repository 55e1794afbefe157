"""What commands share: options, problems by name, the files they write."""

import inspect
import json
import math
from pathlib import Path

from dynsim import _check
from dynsim.errors import ArgumentError

_FORMATS = ("png", "svg", "pdf")
NO_PROBLEMS = {"check_gradient", "data_sets", "load_data"}


def add_run(command, step_size, *, n_paths, n_steps):
    """Options of a run; ``step_size`` says what the default is."""
    run = command.add_argument_group("the run")
    run.add_argument("--step-size", type=float, metavar="η", help=step_size)
    run.add_argument(
        "--n-paths", type=int, default=n_paths, metavar="N", help=f"independent paths (default: {n_paths})"
    )
    run.add_argument("--n-steps", type=int, default=n_steps, metavar="N", help=f"steps of each (default: {n_steps})")
    run.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same numbers (default: 0)")
    run.add_argument("--threads", type=int, metavar="N", help="default: all cores; changes no number")


def add_output(command):
    """Where the files go."""
    out = command.add_argument_group("output")
    out.add_argument("--out", type=Path, default=Path("results"), metavar="FOLDER", help="default: results")
    out.add_argument("--format", choices=_FORMATS, default="png", help="of the picture (default: png)")


def add_valleys(command):
    """Parameters of two-valleys."""
    valleys = command.add_argument_group("two-valleys")
    valleys.add_argument("--a1", type=float, help="weight of the flat group (default: 0.4)")
    valleys.add_argument("--eps", type=float, help="slope outside its own valley (default: 0.1)")
    valleys.add_argument("--K", type=float, help="slope of the sharp group (default: 5)")
    return valleys


def run_options(arguments, step_size, least_paths=1):
    """The options of a run, checked."""
    _check.count("seed", arguments.seed, least=0)
    return {
        "step_size": _check.positive("step_size", step_size if arguments.step_size is None else arguments.step_size),
        "n_steps": _check.count("n_steps", arguments.n_steps),
        "n_paths": _check.count("n_paths", arguments.n_paths, least=least_paths),
        "rng": arguments.seed,
        "threads": None if arguments.threads is None else _check.count("threads", arguments.threads),
        "progress": True,
    }


def add_schemes(command):
    """Which schemes are compared."""
    command.add_argument(
        "--scheme", nargs="+", default=["sgd", "rr"], metavar="NAME", help="of sgd, rr, balanced (default: sgd rr)"
    )


def methods_named(schemes, step_size):
    """The methods of these names, by the names they have in tables."""
    from dynsim.methods import RR, SGD
    from dynsim.sampling import Balanced

    made = {"sgd": lambda: SGD(step_size), "rr": lambda: RR(step_size), "balanced": lambda: SGD(step_size, Balanced())}
    methods = [made[_check.choice("--scheme", scheme, made)]() for scheme in schemes]
    return {method.name: method for method in methods}


def needs_step_size(arguments):
    """Refuse to guess the step size for other problems than two-valleys."""
    if arguments.step_size is None and arguments.problem != "two-valleys":
        raise ArgumentError(f"--step-size must be given for {arguments.problem}")


def valley_options(arguments):
    """The parameters of two-valleys that were given."""
    return {name: getattr(arguments, name) for name in ("a1", "eps", "K") if getattr(arguments, name) is not None}


def problem_named(name, options):
    """A problem by its name on the command line, with default arguments."""
    from dynsim import problems

    makers = {maker.replace("_", "-"): getattr(problems, maker) for maker in problems.__all__ if maker.islower()}
    makers = {n: make for n, make in makers.items() if n.replace("-", "_") not in NO_PROBLEMS and _needs_nothing(make)}
    make = makers[_check.choice("PROBLEM", name, makers)]
    if options and name != "two-valleys":
        raise ArgumentError(f"--{next(iter(options))} goes with two-valleys")
    return make(**options)


def _needs_nothing(function):
    """Whether a function can be called without arguments."""
    return all(p.default is not p.empty for p in inspect.signature(function).parameters.values())


def refuse_given(arguments, names, reason):
    """Refuse options that do not go with the others."""
    for name in names:
        if getattr(arguments, name) is not None:
            raise ArgumentError(f"--{name.replace('_', '-')} {reason}")


def check_writable(folder):
    """Refuse before the run what could not be written after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".dynsim"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArgumentError(f"--out {folder} cannot be written: {error.strerror}") from None


def write(comparison, arguments, stem):
    """Print the table of a comparison, write its picture and its numbers, and return the exit code."""
    picture = arguments.out / f"{stem}.{arguments.format}"
    numbers = arguments.out / f"{stem}.json"
    comparison.draw().savefig(picture, dpi=150)
    text = json.dumps(_without_infinities(comparison.to_dict()), indent=1, allow_nan=False)
    numbers.write_text(text + "\n", encoding="utf-8")
    print(f"{comparison.table()}\n\nwrote {picture} and {numbers}")
    return 0


def _without_infinities(value):
    """The same with ±inf, which JSON does not have, as the strings "inf" and "-inf", and nan as null."""
    if isinstance(value, dict):
        return {key: _without_infinities(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_infinities(entry) for entry in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value) if isinstance(value, float) and math.isinf(value) else value
