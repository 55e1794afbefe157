"""The command line: ``dynsim compare``, ``dynsim stability``, ``dynsim stationary``, ``dynsim problems``."""

import argparse
import inspect
import json
import math
import os
import sys
from pathlib import Path

from dynsim import __version__, _check
from dynsim.errors import ArgumentError, DynsimError

_USAGE, _INTERRUPTED = 2, 130
_FORMATS = ("png", "svg", "pdf")
_SCHEMES = ("sgd", "rr", "balanced")
_NO_PROBLEMS = {"check_gradient", "data_sets", "load_data"}
_STABILITY = ("linear-regression", "two-valleys")
_SYNTHETIC = {"n": 100, "dim": 10, "disparity": 10.0, "fraction": 0.1}
_PROBLEMS = {"two-valleys": "a flat local minimum at -1 and a sharp global one at 1/K, AY §2.1 (--a1, --eps, --K)"}


def main(argv=None) -> int:
    """Run the command line and return its exit code: 0, 2 for bad input, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):  # an old terminal gets a ? for θ, not a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except DynsimError as error:
        print(f"dynsim: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        print("dynsim: stopped, nothing written", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough; Python must not complain when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"dynsim: cannot write: {error}", file=sys.stderr)
        return _USAGE


def _parser():
    parser = argparse.ArgumentParser(
        prog="dynsim", description="Where does stochastic gradient descent end up, and for which step sizes?"
    )
    parser.add_argument("--version", action="version", version=f"dynsim {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("problems", help="list the problems, data sets and losses there are")
    listing.set_defaults(run=_list_problems)
    compare = commands.add_parser(
        "compare",
        help="run SGD beside RR: trajectories, where each ends up, which step sizes hold",
        description="Run SGD beside RR on a problem or a data set; print a table, write a picture and the numbers.",
    )
    compare.set_defaults(run=_compare)
    compare.add_argument("problem", nargs="?", metavar="PROBLEM", help="a problem: " + ", ".join(_PROBLEMS))
    data = compare.add_argument_group("data instead of a problem")
    data.add_argument("--data", metavar="FILE.csv", help="a CSV file with a line of names, or stars-cyg, stackloss")
    data.add_argument("--target", metavar="COLUMN", help="the column to be explained by the others")
    data.add_argument("--loss", help="of the linear model; dynsim problems lists them (default: welsch)")
    _add_run(compare, "default: 0.04 for a problem, 0.1 for data", n_paths=2000, n_steps=5000)
    _add_output(compare)
    valleys = _add_valleys(compare)
    valleys.add_argument("--x0", type=float, help="start (default: 1.25 times the global minimum)")
    stationary = commands.add_parser(
        "stationary",
        help="where schemes end up: the SDE's density, the chain's measure, a run",
        description="Where each scheme ends up, by its SDE limit, its chain and a run of it: print the masses of the "
        "minima's basins, write a picture and the numbers.",
    )
    stationary.set_defaults(run=_stationary)
    stationary.add_argument("problem", metavar="PROBLEM", help="of dimension 1 or 2, such as two-valleys, muller-brown")
    stationary.add_argument(
        "--scheme", nargs="+", default=["sgd", "rr"], metavar="NAME", help="of sgd, rr, balanced (default: sgd rr)"
    )
    _add_run(stationary, "default: 0.04 for two-valleys, else to be given", n_paths=200, n_steps=20_000)
    grid = stationary.add_argument_group("the grid")
    own = "LOW HIGH of each coordinate (default: the problem's own box)"
    grid.add_argument("--bounds", type=float, nargs="+", metavar="X", help=own)
    grid.add_argument("--n-cells", type=int, metavar="N", help="along each axis (default: 4000 in 1-D, 128 in 2-D)")
    grid.add_argument("--x0", type=float, nargs="+", metavar="X", help="start of the run (default: the lowest minimum)")
    _add_output(stationary)
    _add_valleys(stationary)
    _add_stability(commands)
    return parser


def _add_stability(commands):
    stability = commands.add_parser(
        "stability",
        help="for which step sizes SGD and RR hold on to a minimum, by every criterion",
        description="For which step sizes SGD and RR hold on to a minimum: print every criterion, draw the growth over "
        "step size and batch size, write the numbers.",
    )
    stability.set_defaults(run=_stability)
    stability.add_argument("problem", metavar="PROBLEM", help=" or ".join(_STABILITY))
    data = stability.add_argument_group("linear-regression on data")
    data.add_argument("--data", metavar="FILE.csv", help="a CSV file with a line of names, or stars-cyg, stackloss")
    data.add_argument("--target", metavar="COLUMN", help="the column to be explained by the others")
    data.add_argument(
        "--raw",
        action="store_true",
        default=None,
        help="columns as they are, no intercept (default: standardized to mean 0 and deviation 1, intercept added)",
    )
    made = stability.add_argument_group("linear-regression on synthetic data")
    made.add_argument("--n", type=int, metavar="N", help="rows (default: 100)")
    made.add_argument("--dim", type=int, metavar="N", help="columns (default: 10)")
    made.add_argument("--disparity", type=float, metavar="K", help="size of large features to small (default: 10)")
    made.add_argument("--fraction", type=float, metavar="SHARE", help="of the rows that are large (default: 0.1)")
    run = stability.add_argument_group("the schemes")
    run.add_argument("--batch-size", type=int, metavar="B", help="terms drawn in a step (default: 1)")
    run.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same numbers (default: 0)")
    _add_output(stability)
    _add_valleys(stability)


def _add_run(command, step_size, *, n_paths, n_steps):
    run = command.add_argument_group("the run")
    run.add_argument("--step-size", type=float, metavar="η", help=step_size)
    run.add_argument(
        "--n-paths", type=int, default=n_paths, metavar="N", help=f"independent paths (default: {n_paths})"
    )
    run.add_argument("--n-steps", type=int, default=n_steps, metavar="N", help=f"steps of each (default: {n_steps})")
    run.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same numbers (default: 0)")
    run.add_argument("--threads", type=int, metavar="N", help="default: all cores; changes no number")


def _add_output(command):
    out = command.add_argument_group("output")
    out.add_argument("--out", type=Path, default=Path("results"), metavar="FOLDER", help="default: results")
    out.add_argument("--format", choices=_FORMATS, default="png", help="of the picture (default: png)")


def _add_valleys(command):
    valleys = command.add_argument_group("two-valleys")
    valleys.add_argument("--a1", type=float, help="weight of the flat group (default: 0.4)")
    valleys.add_argument("--eps", type=float, help="slope outside its own valley (default: 0.1)")
    valleys.add_argument("--K", type=float, help="slope of the sharp group (default: 5)")
    return valleys


def _list_problems(arguments):
    from dynsim import problems
    from dynsim.problems.linear_model import LOSSES

    makers = [name for name in problems.__all__ if name.islower() and name not in _NO_PROBLEMS]
    print("problems to compare schemes on (dynsim compare PROBLEM):")
    _print_names(_PROBLEMS)
    print("data sets (dynsim compare --data NAME):")
    _print_names(problems.data_sets())
    print(f"losses (--loss): {', '.join(LOSSES)}")
    print("problems in Python (dynsim.problems.NAME, see its docstring):")
    _print_names({name: getattr(problems, name).__doc__.split("\n", 1)[0] for name in makers})
    return 0


def _print_names(names):
    width = max(map(len, names))
    for name, line in names.items():
        print(f"  {name:<{width}}  {line}")


def _compare(arguments):
    if (arguments.problem is None) == (arguments.data is None):
        raise ArgumentError("give either a problem (dynsim problems lists them) or --data, and not both")
    make, name = (_on_valleys, arguments.problem) if arguments.data is None else (_on_data, Path(arguments.data).stem)
    comparison_of = make(arguments)  # checks the input
    _check_writable(arguments.out)
    return _write(comparison_of(), arguments, f"compare-{name}")


def _write(comparison, arguments, stem):
    """Print the table, write the picture and the numbers."""
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


def _run_options(arguments, step_size, least_paths=1):
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


def _on_valleys(arguments):
    from dynsim.compare import compare_on_valleys
    from dynsim.problems import two_valleys

    _check.choice("PROBLEM", arguments.problem, _PROBLEMS)
    _refuse_given(arguments, ("target", "loss"), "goes with --data")
    problem = two_valleys(**_valley_options(arguments))
    options = _run_options(arguments, step_size=0.04)
    x0 = None if arguments.x0 is None else _check.real("x0", arguments.x0)
    return lambda: compare_on_valleys(problem, x0=x0, **options)


def _valley_options(arguments):
    return {name: getattr(arguments, name) for name in ("a1", "eps", "K") if getattr(arguments, name) is not None}


def _stationary(arguments):
    from dynsim.compare import compare_stationary
    from dynsim.methods import RR, SGD
    from dynsim.sampling import Balanced

    for scheme in arguments.scheme:
        _check.choice("--scheme", scheme, _SCHEMES)
    problem = _problem_named(arguments.problem, _valley_options(arguments))
    if arguments.step_size is None and arguments.problem != "two-valleys":
        raise ArgumentError(f"--step-size must be given for {arguments.problem}")
    options = _run_options(arguments, step_size=0.04, least_paths=0)
    eta = options.pop("step_size")
    made = {"sgd": lambda: SGD(eta), "rr": lambda: RR(eta), "balanced": lambda: SGD(eta, Balanced())}
    methods = {made[scheme]().name: made[scheme]() for scheme in arguments.scheme}
    bounds = arguments.bounds
    if bounds is not None:
        if len(bounds) != 2 * problem.dim:
            wanted = f"{2 * problem.dim} numbers, LOW HIGH of each coordinate"
            raise ArgumentError(f"--bounds must be {wanted}, got {len(bounds)}")
        bounds = [bounds[2 * j : 2 * j + 2] for j in range(problem.dim)]
    x0 = None if arguments.x0 is None else arguments.x0
    _check_writable(arguments.out)
    comparison = compare_stationary(problem, methods, bounds=bounds, n_cells=arguments.n_cells, x0=x0, **options)
    return _write(comparison, arguments, f"stationary-{arguments.problem}")


def _problem_named(name, options):
    """A problem by its name on the command line, with default arguments."""
    from dynsim import problems

    makers = {maker.replace("_", "-"): getattr(problems, maker) for maker in problems.__all__ if maker.islower()}
    makers = {n: make for n, make in makers.items() if n.replace("-", "_") not in _NO_PROBLEMS and _needs_nothing(make)}
    make = makers[_check.choice("PROBLEM", name, makers)]
    if options and name != "two-valleys":
        raise ArgumentError(f"--{next(iter(options))} goes with two-valleys")
    return make(**options)


def _needs_nothing(function):
    """Whether a function can be called without arguments."""
    return all(p.default is not p.empty for p in inspect.signature(function).parameters.values())


def _on_data(arguments):
    from dynsim.compare import compare_on_data
    from dynsim.problems import linear_model, load_data

    _refuse_given(arguments, ("a1", "eps", "K", "x0"), "goes with two-valleys")
    data = load_data(arguments.data, arguments.target)
    problem = linear_model(data.X, data.y, arguments.loss or "welsch", intercept=True, standardize=True)
    options = _run_options(arguments, step_size=0.1)
    return lambda: compare_on_data(problem, data, **options)


def _stability(arguments):
    _check.choice("PROBLEM", arguments.problem, _STABILITY)
    _check.count("seed", arguments.seed, least=0)
    on_valleys = arguments.problem == "two-valleys"
    comparison_of, name = (_holds_on_valleys if on_valleys else _holds_on_rows)(arguments)  # checks the input
    _check_writable(arguments.out)
    return _write(comparison_of(), arguments, f"stability-{name}")


def _holds_on_rows(arguments):
    from dynsim.compare.stability import compare_stability, model_of_table
    from dynsim.problems import disparate_groups, load_data

    _refuse_given(arguments, ("a1", "eps", "K"), "goes with two-valleys")
    batch_size = 1 if arguments.batch_size is None else _check.count("batch_size", arguments.batch_size)
    if arguments.data is None:
        _refuse_given(arguments, ("target", "raw"), "goes with --data")
        given = {name: getattr(arguments, name) for name in _SYNTHETIC if getattr(arguments, name) is not None}
        data, name = None, "linear-regression"
        problem = disparate_groups(**_SYNTHETIC | given, rng=arguments.seed)
    else:
        _refuse_given(arguments, tuple(_SYNTHETIC), "goes with synthetic data, not with --data")
        data = load_data(arguments.data, arguments.target, few_rows=True)
        problem, name = model_of_table(data, raw=bool(arguments.raw)), Path(arguments.data).stem
    options = {
        "data": data,
        "standardized": data is not None and not arguments.raw,
        "batch_size": batch_size,
        "rng": arguments.seed,
        "progress": True,
    }
    return lambda: compare_stability(problem, **options), name


def _holds_on_valleys(arguments):
    from dynsim.compare import compare_holds
    from dynsim.problems import two_valleys

    _refuse_given(arguments, ("data", "target", "raw", *_SYNTHETIC, "batch_size"), "goes with linear-regression")
    problem = two_valleys(**_valley_options(arguments))
    return lambda: compare_holds(problem, progress=True), "two-valleys"


def _refuse_given(arguments, names, reason):
    for name in names:
        if getattr(arguments, name) is not None:
            raise ArgumentError(f"--{name.replace('_', '-')} {reason}")


def _check_writable(folder):
    """Refuse before the run what could not be written after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".dynsim"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArgumentError(f"--out {folder} cannot be written: {error.strerror}") from None
