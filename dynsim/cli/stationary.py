"""``dynsim stationary``."""

from dynsim.cli.options import (
    add_output,
    add_run,
    add_schemes,
    add_valleys,
    check_writable,
    methods_named,
    needs_step_size,
    problem_named,
    run_options,
    valley_options,
    write,
)
from dynsim.errors import ArgumentError


def add(commands):
    """Describe the command to the parser."""
    stationary = commands.add_parser(
        "stationary",
        help="where schemes end up: the SDE's density, the chain's measure, a run",
        description="Where each scheme ends up, by its SDE limit, its chain and a run of it: print the masses of the "
        "minima's basins, write a picture and the numbers.",
    )
    stationary.set_defaults(run=_stationary)
    stationary.add_argument("problem", metavar="PROBLEM", help="of dimension 1 or 2, such as two-valleys, muller-brown")
    add_schemes(stationary)
    add_run(stationary, "default: 0.04 for two-valleys, else to be given", n_paths=200, n_steps=20_000)
    grid = stationary.add_argument_group("the grid")
    own = "LOW HIGH of each coordinate (default: the problem's own box)"
    grid.add_argument("--bounds", type=float, nargs="+", metavar="X", help=own)
    grid.add_argument("--n-cells", type=int, metavar="N", help="along each axis (default: 4000 in 1-D, 128 in 2-D)")
    grid.add_argument("--x0", type=float, nargs="+", metavar="X", help="start of the run (default: the lowest minimum)")
    add_output(stationary)
    add_valleys(stationary)


def _stationary(arguments):
    from dynsim.compare import compare_stationary

    problem = problem_named(arguments.problem, valley_options(arguments))
    needs_step_size(arguments)
    options = run_options(arguments, step_size=0.04, least_paths=0)
    methods = methods_named(arguments.scheme, options.pop("step_size"))
    bounds = arguments.bounds
    if bounds is not None:
        if len(bounds) != 2 * problem.dim:
            wanted = f"{2 * problem.dim} numbers, LOW HIGH of each coordinate"
            raise ArgumentError(f"--bounds must be {wanted}, got {len(bounds)}")
        bounds = [bounds[2 * j : 2 * j + 2] for j in range(problem.dim)]
    x0 = None if arguments.x0 is None else arguments.x0
    check_writable(arguments.out)
    comparison = compare_stationary(problem, methods, bounds=bounds, n_cells=arguments.n_cells, x0=x0, **options)
    return write(comparison, arguments, f"stationary-{arguments.problem}")
