"""How far apart are densities, laws of chains, histograms and samples, and is it more than error and chance?"""

from dataclasses import dataclass, field
from itertools import combinations
from numbers import Integral, Real

import numpy as np

from dynsim import _check
from dynsim.compare.measures import GROUPS, Measure, default_name, equal_edges, measure
from dynsim.compare.pairs import LEAST_SHARE, Pair, compare_pair
from dynsim.compare.text import number, table
from dynsim.errors import ArgumentError
from dynsim.results.common import xarray_module

_ROWS = (
    ("TV", "total_variation"),
    ("KL(a‖b)", "kullback_leibler"),
    ("KL(b‖a)", "reverse_kullback_leibler"),
    ("W1", "wasserstein"),
)


@dataclass(frozen=True, eq=False)
class DensityComparison:
    """Distances between measures, by pairs; see :func:`compare_densities`.

    ``comparison["SDE", "chain"]`` is the :class:`Pair` of two of them, with Kullback–Leibler in that order.

    Attributes
    ----------
    names : tuple of str
    measures : tuple
        What was compared, as it was understood.
    pairs : dict
        From (name, name) to :class:`Pair`.
    notes : tuple of str
        What was left out, and what the numbers depend on.
    """

    names: tuple
    measures: tuple[Measure, ...] = field(repr=False)
    pairs: dict = field(repr=False)
    notes: tuple

    def __getitem__(self, names: tuple[str, str]) -> Pair:
        if isinstance(names, tuple) and names in self.pairs:
            return self.pairs[names]
        if isinstance(names, tuple) and names[::-1] in self.pairs:
            return self.pairs[names[::-1]].reversed()
        raise KeyError(f"no pair {names!r}; there are {', '.join(map(repr, self.pairs))}")

    def table(self) -> str:
        """The numbers for a terminal."""
        rows: list[tuple[str, ...]] = [
            ("", "", "", "grid", "by chance", ""),
            ("a, b", "", "distance", "error", "up to", ""),
        ]
        for (a, b), pair in self.pairs.items():
            for k, (short, name) in enumerate(_ROWS):
                d = getattr(pair, name)
                who = [f"{a}, {b}", *(f"  {part}" for part in pair.where.split(", ")), "", "", ""][k]
                chance = "" if d.floor == 0 else number(d.by_chance)
                rows.append((who, short, _plain(d.value, 4), _plain(d.error, 2), chance, verdict(d)))
        lines = [
            table(rows),
            "",
            "Grid error: what half as many cells change. By chance: how far runs of this size come from their own law,",
            "mean + 5 standard deviations. TV and KL are on what is said below the names; rare: fewer than 10",
            "independent observations are expected there.",
            *self.notes,
        ]
        return "\n".join(lines)

    def to_xarray(self):
        """All distances as an ``xarray.Dataset`` over a and b (needs the extra ``xarray``)."""
        arrays = xarray_module()
        shape = (len(self.names), len(self.names))
        data = {}
        for name in ("total_variation", "kullback_leibler", "wasserstein"):
            for part in ("value", "error", "floor", "floor_spread"):
                values = np.full(shape, np.nan)
                np.fill_diagonal(values, 0.0)
                for a, b in self.pairs:
                    for first, second in ((a, b), (b, a)):
                        at = self.names.index(first), self.names.index(second)
                        values[at] = getattr(getattr(self[first, second], name), part)
                data[name if part == "value" else f"{name}_{part}"] = (("a", "b"), values)
        return arrays.Dataset(data, coords={"a": list(self.names), "b": list(self.names)})

    def plot(self, ax=None, **style):
        """Draw the densities over each other, in one dimension, and return the Axes."""
        from dynsim.plot import plot_densities

        return plot_densities(self, ax, **style)

    def draw(self):
        """The picture: densities over each other, or side by side in two dimensions; and the distances. A Figure."""
        from dynsim.plot import draw_densities

        return draw_densities(self)

    def __repr__(self):
        return self.table()


def compare_densities(*densities, reference: str | None = None, bins=None, burn_in: float = 0.0) -> DensityComparison:
    """Distances between probability measures of any origin, each with its error and with what chance alone would give.

    Total variation ``½ Σ |a − b|``, Kullback–Leibler ``Σ a ln(a/b)`` both ways, and Wasserstein
    ``W1 = ∫ |F_a − F_b| dt`` (for more dimensions its mean over 64 or 128 fixed directions of projection).

    Parameters
    ----------
    *densities : Density, Counts, Trajectories or array_like
        Two or more of one dimension up to 3, or one dict of them by name. A :class:`Density` is the law of an SDE or a
        chain; ``Counts`` is what :class:`dynsim.observers.Histogram` finds; trajectories count by all states they kept
        from ``burn_in`` on; samples are an array (n,) or (n, dim) of independent ones, or (n_paths, n_times, dim) of
        independent paths.
    reference : str, optional
        Compare all with this one only.
    bins : int or sequence of array_like, optional
        Edges of bins along each axis, or for dim 1 one sequence, for total variation and Kullback–Leibler, what lies
        outside being one bin more; or the number, from 2 on, of equal bins along each axis over all of them. By
        default: the cells, if both have the same; the states, if both are on states; else the bins of the histogram,
        or the wider ones of the two grids; for states and samples bins so wide that each holds several.
    burn_in : float, optional
        Time before which the states of trajectories are left out.

    Returns
    -------
    DensityComparison

    Raises
    ------
    ArgumentError
        If dimensions or names do not fit, samples are not finite, a histogram is empty, no path is left, or bins hold
        less than a thousandth of one of them.
    NotApplicable
        For more than 3 dimensions, or different grids of which one is turned by ``axes``.

    Notes
    -----
    A measure without density, on states or singular, has total variation 1 from any density in the limit of fine bins:
    then the number belongs to the width of the bins that is stated with it, and W1 is the one to look at.

    The noise of a run is imagined anew 200 times from the scatter of its 32 groups of paths (of stretches of time, if
    there are fewer paths, which must be longer than the correlation time): δ = Σ_g z_g r_g with normal z_g and r_g the
    residual of a group, so that each bin has the standard error that ``Counts.stderr`` says. The floor is the mean
    distance of δ from 0, ½ Σ √(2/π) stderr for total variation. Bins in which fewer than 10 independent observations
    are expected are put together.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem, method = ds.problems.two_valleys(), ds.SGD(step_size=0.04)
    >>> rho = ds.stationary_density(ds.sde_limit(problem, method), (-2.0, 1.0), 1200)
    >>> lemma = ds.theory.lemma_2_1(problem, method, n_cells=1200)
    >>> pair = ds.compare_densities({"SDE": rho, "lemma": lemma})["SDE", "lemma"]
    >>> round(pair.total_variation.value, 2), pair.total_variation.differs
    (0.07, True)
    """
    named = _named(densities)
    burn_in = _check.real("burn_in", burn_in)
    measures = {name: measure(name, value, burn_in) for name, value in named.items()}
    dims = {name: m.law.dim for name, m in measures.items()}
    if len(set(dims.values())) > 1:
        raise ArgumentError(
            f"densities must have the same dimension, got {dims}; Density.marginal takes some coordinates"
        )
    if reference is not None:
        _check.choice("reference", reference, tuple(measures))
    edges = None if bins is None else _edges(bins, list(measures.values()))
    names = [(a, b) for a, b in combinations(measures, 2) if reference in (None, a, b)]
    pairs = {(a, b): compare_pair(measures[a], measures[b], edges) for a, b in names}
    notes = [note for m in measures.values() for note in m.notes] + _notes(measures, pairs)
    return DensityComparison(tuple(measures), tuple(measures.values()), pairs, tuple(notes))


def _named(densities):
    if len(densities) == 1 and isinstance(densities[0], dict):
        named = {str(name): value for name, value in densities[0].items()}
        if len(named) < len(densities[0]):
            raise ArgumentError(f"densities must have names that differ as text, got {list(densities[0])}")
    else:
        named = {}
        for value in densities:
            named[default_name(value, named)] = value
    if len(named) < 2:
        raise ArgumentError(f"densities must be two or more, or one dict of them by name, got {len(named)}")
    return named


def _edges(bins, measures):
    dim = measures[0].law.dim
    if isinstance(bins, Integral):
        n = _check.count("bins", bins, least=2)
        _check.fits_in_memory("the counts in bins", (GROUPS, *[n] * dim), instead="use fewer of them")
        return equal_edges(measures, n)
    if not isinstance(bins, (list, tuple)) and np.ndim(bins) == 0:
        raise ArgumentError(f"bins must be a number of bins or sequences of their edges, got {bins!r}")
    if dim == 1 and len(bins) and isinstance(bins[0], Real):
        bins = [bins]
    if len(bins) != dim:
        raise ArgumentError(f"bins must be one sequence of edges for each of {dim} coordinates, got {len(bins)}")
    edges = tuple(_check.array("bins", e, ndim=1) for e in bins)
    if any(e.size < 2 or not (np.diff(e) > 0).all() for e in edges):
        raise ArgumentError("bins must be increasing edges, at least two of them")
    return edges


def verdict(distance) -> str:
    """One word for a distance."""
    if np.isinf(distance.value) and distance.floor > 0:
        return "unknown"  # a run leaves likely bins empty by chance
    if distance.differs:
        return "differ"
    return "agree" if distance.floor == 0 else "within chance"


def _plain(value, digits):
    return "inf" if value == np.inf else number(value, digits)


def _notes(measures, pairs):
    notes = []
    kinds = {m.kind for m in measures.values()}
    if "states" in kinds and len(kinds) > 1:
        notes.append("A measure on states has no density: its TV and KL from others are at the scale of the bins.")
    w1 = "; W1 from a histogram is for what lies in its bins" if "histogram" in kinds else ""
    for name, m in measures.items():
        found = m.law.details.get("verdict")
        if getattr(found, "kind", None) == "singular":
            notes.append(f"{name} is singular: its TV and KL from a density are at the scale of the bins.")
        outside = max((pair.outside[names.index(name)] for names, pair in pairs.items() if name in names), default=0.0)
        if outside > m.in_no_bin + LEAST_SHARE:
            notes.append(f"{name}: {outside:.2g} of it lies outside the bins, one bin more for TV and KL{w1}")
    infinite = [
        f"{a}, {b}"
        for (a, b), p in pairs.items()
        if np.inf in (p.kullback_leibler.value, p.reverse_kullback_leibler.value)
    ]
    if infinite:
        notes.append(f"KL is inf where the second measure has no mass and the first has: {'; '.join(infinite)}.")
    unknown = [
        name
        for name, m in measures.items()
        if m.kind == "cells" and m.law.coarser is None and m.law.refinement_gap != 0
    ]
    if unknown:
        notes.append(f"The grid error of {', '.join(unknown)} is not known.")
    return notes
