"""Plain tables for a terminal."""

import math


def table(rows) -> str:
    """Rows of cells, the first two being the header, as aligned columns: the first to the left, others to the right."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    lines.insert(2, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)


def number(value, digits=3) -> str:
    """A number in as few characters as say it; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never" if value > 0 else "-inf"
    return f"{value:.{digits}g}"


def with_error(value, error) -> str:
    """A number and its standard error, with two digits of the error."""
    if not 0 < error < math.inf or value == 0:
        return number(value, 4)
    digits = math.floor(math.log10(abs(value))) - math.floor(math.log10(error)) + 2
    return f"{value:#.{max(digits, 2)}g}".rstrip(".") + f" ± {error:.2g}"


def probability(log_p) -> str:
    """A nonnegative number given by its natural logarithm, which may be outside the range of floats."""
    if log_p is None:
        return "-"
    if log_p == -math.inf:
        return "0"
    if log_p == math.inf:
        return "never"
    if abs(log_p) < 700:
        return f"{math.exp(log_p):.4g}"
    exponent = log_p / math.log(10)
    return f"{10 ** (exponent % 1):.2f}e{math.floor(exponent):+d}"


def diverged_line(name, trajectories) -> str:
    """One sentence about the paths that blew up."""
    when = sorted(trajectories.diverged)
    return (
        f"{name}: {trajectories.n_diverged} of {trajectories.n_paths} paths diverged, the first at step "
        f"{when[0]:.0f}, half of them by step {when[(trajectories.n_diverged - 1) // 2]:.0f}"
    )
