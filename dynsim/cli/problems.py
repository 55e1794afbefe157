"""``dynsim problems``."""

from dynsim.cli.compare import PROBLEMS
from dynsim.cli.options import NO_PROBLEMS


def add(commands):
    """Describe the command to the parser."""
    listing = commands.add_parser("problems", help="list the problems, data sets and losses there are")
    listing.set_defaults(run=_list_problems)


def _list_problems(arguments):
    from dynsim import problems
    from dynsim.problems.linear_model import LOSSES

    makers = [name for name in problems.__all__ if name.islower() and name not in NO_PROBLEMS]
    print("problems to compare schemes on (dynsim compare PROBLEM):")
    _print_names(PROBLEMS)
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
