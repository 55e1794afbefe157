"""``dynsim average``."""

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


def add(commands):
    """Describe the command to the parser."""
    average = commands.add_parser(
        "average",
        help="long-run averages of loss, gradient norm and basins, with honest errors",
        description="Long-run averages of loss, gradient norm, coordinates and basins under each scheme: print them "
        "with their errors, or why they cannot be told, write a picture and the numbers.",
    )
    average.set_defaults(run=_average)
    average.add_argument("problem", metavar="PROBLEM", help="such as two-valleys, muller-brown, egg-carton")
    add_schemes(average)
    add_run(average, "default: 0.04 for two-valleys, else to be given", n_paths=64, n_steps=20_000)
    average.add_argument(
        "--until", type=float, metavar="SHARE", help="stop once errors are below this share of averages or deviations"
    )
    average.add_argument("--x0", type=float, nargs="+", metavar="X", help="start (default: the minima in turn)")
    add_output(average)
    add_valleys(average)


def _average(arguments):
    from dynsim.compare import compare_averages

    problem = problem_named(arguments.problem, valley_options(arguments))
    needs_step_size(arguments)
    options = run_options(arguments, step_size=0.04)
    methods = methods_named(arguments.scheme, options.pop("step_size"))
    check_writable(arguments.out)
    comparison = compare_averages(problem, methods, x0=arguments.x0, until=arguments.until, **options)
    return write(comparison, arguments, f"average-{arguments.problem}")
