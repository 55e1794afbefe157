"""The command line: a module for each command, which describes it to the parser and runs it."""

import argparse
import os
import sys

from dynsim import __version__
from dynsim.cli import average, bifurcation, compare, problems, stability, stationary
from dynsim.errors import DynsimError

_USAGE, _INTERRUPTED = 2, 130


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
    for command in (problems, compare, stationary, average, stability, bifurcation):
        command.add(commands)
    return parser
