"""``dynsim compare``."""

from pathlib import Path

from dynsim import _check
from dynsim.cli.options import (
    add_output,
    add_run,
    add_valleys,
    check_writable,
    refuse_given,
    run_options,
    valley_options,
    write,
)
from dynsim.errors import ArgumentError

PROBLEMS = {"two-valleys": "a flat local minimum at -1 and a sharp global one at 1/K, AY §2.1 (--a1, --eps, --K)"}


def add(commands):
    """Describe the command to the parser."""
    compare = commands.add_parser(
        "compare",
        help="run SGD beside RR: trajectories, where each ends up, which step sizes hold",
        description="Run SGD beside RR on a problem or a data set; print a table, write a picture and the numbers.",
    )
    compare.set_defaults(run=_compare)
    compare.add_argument("problem", nargs="?", metavar="PROBLEM", help="a problem: " + ", ".join(PROBLEMS))
    data = compare.add_argument_group("data instead of a problem")
    data.add_argument("--data", metavar="FILE.csv", help="a CSV file with a line of names, or stars-cyg, stackloss")
    data.add_argument("--target", metavar="COLUMN", help="the column to be explained by the others")
    data.add_argument("--loss", help="of the linear model; dynsim problems lists them (default: welsch)")
    add_run(compare, "default: 0.04 for a problem, 0.1 for data", n_paths=2000, n_steps=5000)
    add_output(compare)
    valleys = add_valleys(compare)
    valleys.add_argument("--x0", type=float, help="start (default: 1.25 times the global minimum)")


def _compare(arguments):
    if (arguments.problem is None) == (arguments.data is None):
        raise ArgumentError("give either a problem (dynsim problems lists them) or --data, and not both")
    make, name = (_on_valleys, arguments.problem) if arguments.data is None else (_on_data, Path(arguments.data).stem)
    comparison_of = make(arguments)  # checks the input
    check_writable(arguments.out)
    return write(comparison_of(), arguments, f"compare-{name}")


def _on_valleys(arguments):
    from dynsim.compare import compare_on_valleys
    from dynsim.problems import two_valleys

    _check.choice("PROBLEM", arguments.problem, PROBLEMS)
    refuse_given(arguments, ("target", "loss"), "goes with --data")
    problem = two_valleys(**valley_options(arguments))
    options = run_options(arguments, step_size=0.04)
    x0 = None if arguments.x0 is None else _check.real("x0", arguments.x0)
    return lambda: compare_on_valleys(problem, x0=x0, **options)


def _on_data(arguments):
    from dynsim.compare import compare_on_data
    from dynsim.problems import linear_model, load_data

    refuse_given(arguments, ("a1", "eps", "K", "x0"), "goes with two-valleys")
    data = load_data(arguments.data, arguments.target)
    problem = linear_model(data.X, data.y, arguments.loss or "welsch", intercept=True, standardize=True)
    options = run_options(arguments, step_size=0.1)
    return lambda: compare_on_data(problem, data, **options)
