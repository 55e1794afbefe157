"""What results of observers have in common."""

from dataclasses import dataclass

import numpy as np

_MOST_LISTED = 5  # numbers of paths in a message


def listed(what, numbers):
    """For a message: path 3; paths 3 and 5; paths 1, 2, 3, 4, 5 and 12 more."""
    first, more = [str(number) for number in numbers[:_MOST_LISTED]], len(numbers) - _MOST_LISTED
    if more > 0:
        first.append(f"{more} more")
    return f"{what} {first[0]}" if len(first) == 1 else f"{what}s {', '.join(first[:-1])} and {first[-1]}"


def ratio_stderr(parts, wholes):
    """Standard error of Σ parts / Σ wholes over independent groups, the first axis of both."""
    g = parts.shape[0]
    if g < 2:
        return np.full(parts.shape[1:], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = wholes.sum(axis=0)
        deviation = parts - wholes * (parts.sum(axis=0) / total)
        return np.sqrt(g / (g - 1) * (deviation**2).sum(axis=0)) / total


@dataclass(frozen=True, eq=False)
class PerPath:
    """``n`` is the number of observations of each path; ``valid`` (n_paths,) leaves out those that diverged."""

    n: int

    def _between(self, values):
        """Mean over the valid paths, and its standard error (NaN for a single path)."""
        kept = values[self.valid]
        n = kept.shape[0]
        if n == 0 or self.n == 0:
            return np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
        mean = kept.mean(axis=0)
        stderr = kept.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(values.shape[1:], np.nan)
        return mean, stderr
