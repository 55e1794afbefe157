"""``dynsim stability``."""

from pathlib import Path

from dynsim import _check
from dynsim.cli.options import (
    add_output,
    add_valleys,
    check_writable,
    refuse_given,
    valley_options,
    write,
)

_STABILITY = ("linear-regression", "two-valleys")
_SYNTHETIC = {"n": 100, "dim": 10, "disparity": 10.0, "fraction": 0.1}


def add(commands):
    """Describe the command to the parser."""
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
    add_output(stability)
    add_valleys(stability)


def _stability(arguments):
    _check.choice("PROBLEM", arguments.problem, _STABILITY)
    _check.count("seed", arguments.seed, least=0)
    on_valleys = arguments.problem == "two-valleys"
    comparison_of, name = (_holds_on_valleys if on_valleys else _holds_on_rows)(arguments)  # checks the input
    check_writable(arguments.out)
    return write(comparison_of(), arguments, f"stability-{name}")


def _holds_on_rows(arguments):
    from dynsim.compare.stability import compare_stability, model_of_table
    from dynsim.problems import disparate_groups, load_data

    refuse_given(arguments, ("a1", "eps", "K"), "goes with two-valleys")
    batch_size = 1 if arguments.batch_size is None else _check.count("batch_size", arguments.batch_size)
    if arguments.data is None:
        refuse_given(arguments, ("target", "raw"), "goes with --data")
        given = {name: getattr(arguments, name) for name in _SYNTHETIC if getattr(arguments, name) is not None}
        data, name = None, "linear-regression"
        problem = disparate_groups(**_SYNTHETIC | given, rng=arguments.seed)
    else:
        refuse_given(arguments, tuple(_SYNTHETIC), "goes with synthetic data, not with --data")
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

    refuse_given(arguments, ("data", "target", "raw", *_SYNTHETIC, "batch_size"), "goes with linear-regression")
    problem = two_valleys(**valley_options(arguments))
    return lambda: compare_holds(problem, progress=True), "two-valleys"
