"""``dynsim bifurcation``."""

from dynsim import _check
from dynsim.cli.options import add_output, add_valleys, check_writable, problem_named, valley_options, write


def add(commands):
    """Describe the command to the parser."""
    command = commands.add_parser(
        "bifurcation",
        help="what gradient descent settles on, against the step size: fixed points, cycles, chaos",
        description="What full-batch gradient descent settles on across the edge of stability: print the periods and "
        "Lyapunov exponents by step size, draw the bifurcation diagram, write the numbers.",
    )
    command.set_defaults(run=_bifurcation)
    command.add_argument("problem", metavar="PROBLEM", help="such as egg-carton, muller-brown, two-valleys")
    edge = "of the step sizes (default: {} times 2/sharpness at the lowest minimum)"
    command.add_argument("--low", type=float, metavar="η", help="least " + edge.format(0.5))
    command.add_argument("--high", type=float, metavar="η", help="largest " + edge.format(2.5))
    command.add_argument("--n-values", type=int, default=400, metavar="N", help="step sizes (default: 400)")
    command.add_argument(
        "--quantity", default="loss", metavar="NAME", help="loss, gradient-norm or coordinate (default: loss)"
    )
    command.add_argument("--x0", type=float, nargs="+", metavar="X", help="start (default: beside each minimum)")
    command.add_argument(
        "--burn-in", type=int, default=2000, metavar="N", help="steps before those looked at (default: 2000)"
    )
    add_output(command)
    add_valleys(command)


def _bifurcation(arguments):
    from dynsim.compare import edge_of_stability

    problem = problem_named(arguments.problem, valley_options(arguments))
    _check.count("burn_in", arguments.burn_in, least=0)
    check_writable(arguments.out)
    found = edge_of_stability(
        problem,
        low=arguments.low,
        high=arguments.high,
        n_values=arguments.n_values,
        quantity=arguments.quantity,
        x0=arguments.x0,
        burn_in=arguments.burn_in,
    )
    return write(found, arguments, f"bifurcation-{arguments.problem}")
