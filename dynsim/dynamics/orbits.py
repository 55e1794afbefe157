"""Orbits of maps: where they go, their periods, the bands of a chaotic attractor."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.dynamics.recurrence import NEIGHBORS, band_count, growing, periods
from dynsim.dynamics.system import Map, advanced, check_map, followed, outside
from dynsim.errors import ArgumentError
from dynsim.results.common import xarray_module

_LENGTHS = 6  # periods of the largest length asked for that an orbit must have: three of them in its second half
_GROWTH = 2.0  # from the first to the last quarter of the second half: no drift at a steady speed does that
_VISITS = 100  # steps of an orbit for each neighbor in a ball: so a ball holds a fiftieth of its second half


@dataclass(frozen=True, eq=False, repr=False)
class Orbit:
    """Orbits x_0, F(x_0), F²(x_0), …, from :func:`dynsim.dynamics.orbit`.

    Attributes
    ----------
    x : ndarray, shape (n_starts, n_steps + 1, dim)
        The states.
    diverged : ndarray, shape (n_starts,)
        The first step at which max|x| > 1e100 or x is not finite, inf where there is none.
    n_observed : int
        The first so many coordinates are θ.
    modulo : ndarray, shape (dim,)
        Periods of coordinates that are angles, else inf.
    settings : dict
        What was asked for.
    """

    x: np.ndarray
    diverged: np.ndarray
    n_observed: int
    modulo: np.ndarray
    settings: dict = field(repr=False)

    @property
    def n_starts(self) -> int:
        """Number of orbits."""
        return self.x.shape[0]

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.x.shape[1] - 1

    def period(self, *, tolerance: float | None = None, most: int = 64) -> np.ndarray:
        r"""The period of the cycle that each orbit has settled on, 1 for a fixed point; shape (n_starts,).

        It is the smallest p such that in the second half of the orbit all \|x_{k+p} − x_k\| are within tolerance and
        shrink in geometric progression, the sum of which, the distance to the cycle, is within it as well, or are down
        to rounding and do not add up to a drift. So an orbit on its way to a fixed point, alternating about it, has not
        period 2; one that still has far to go, as at a bifurcation where convergence is not geometric, has none, and
        neither has a rotation by an irrational angle, nor a chaotic orbit that passes close to a cycle.

        Parameters
        ----------
        tolerance : float, optional
            In units of the coordinates: the distance to the cycle that counts as there. By default a millionth of the
            extent of the orbit from its start on, that of angles at most their period.
        most : int, optional
            The largest period to look for; at most n_steps/6.

        Returns
        -------
        ndarray of int
            0 where no period up to ``most`` was found, or the orbit has diverged.
        """
        tolerance = None if tolerance is None else _check.positive("tolerance", tolerance)
        most = _check.count("most", most)
        if _LENGTHS * most > self.n_steps:
            raise ArgumentError(
                f"most must be at most n_steps/{_LENGTHS} = {self.n_steps / _LENGTHS:g} to see a period several times, "
                f"got {most}; make the orbit longer"
            )
        first = np.array(self.settings["x0"])
        return periods(self._second_half(), self.modulo, first, tolerance=tolerance, most=most)

    def bands(self, *, tolerance: float | None = None, most: int = 64) -> np.ndarray:
        """The number of bands of each orbit's attractor: disjoint sets that F permutes in a cycle; shape (n_starts,).

        For a cycle that is its period. For a chaotic orbit it is the greatest common divisor of the times between
        returns to small balls, of 100 neighbors each, in the second half of the orbit. A fully chaotic attractor, and
        a quasiperiodic one, has one band. Bands that exchange points more seldom than within the length of the orbit
        count as separate.

        Parameters
        ----------
        tolerance, most : optional
            As for :meth:`period`, to find the cycles.

        Returns
        -------
        ndarray of int
            0 where the orbit has diverged, or grows: max|x|, angles apart, is larger in each quarter of the second half
            than before, and twice as large in the last as in the first.
        """
        if self.n_steps < _VISITS * NEIGHBORS:
            raise ArgumentError(
                f"bands needs an orbit of at least {_VISITS * NEIGHBORS} steps to count returns, got {self.n_steps}"
            )
        found = self.period(tolerance=tolerance, most=most)
        half = self._second_half()
        stays = ~outside(half).any(axis=1) & ~growing(half, self.modulo, _GROWTH)
        for i in np.flatnonzero((found == 0) & stays):
            found[i] = band_count(half[i], self.modulo)
        return found

    def plot(self, ax=None, *, n_starts=20, coordinates=None, **style):
        """Draw the first orbits and return the Axes: one coordinate against the step, or two against each other.

        ``coordinates`` is a number or a pair; by default 0, or (0, 1) where θ has more than one coordinate.
        """
        from dynsim.plot import plot_orbit

        return plot_orbit(self, ax, n_starts=n_starts, coordinates=coordinates, **style)

    def to_xarray(self):
        """The states as an ``xarray.DataArray`` over start, step and coordinate (needs the extra ``xarray``)."""
        steps = np.arange(self.n_steps + 1) + self.settings["burn_in"]
        return xarray_module().DataArray(
            self.x, dims=("start", "step", "coordinate"), coords={"step": steps}, name="x", attrs=self.settings
        )

    def _second_half(self):
        return self.x[:, self.x.shape[1] // 2 :]

    def __repr__(self):
        blown = int(np.isfinite(self.diverged).sum())
        starts = f"{self.n_starts} start{'s' if self.n_starts > 1 else ''}"
        return f"Orbit({self.settings['map']}: {starts}, {self.n_steps} steps{f', {blown} diverged' if blown else ''})"


def orbit(system: Map, x0: ArrayLike, n_steps: int, *, burn_in: int = 0) -> Orbit:
    """Iterate a map: x_{k+1} = F(x_k).

    Parameters
    ----------
    system : Map
        From :func:`descent`, :func:`flow`, or your own.
    x0 : array_like
        A scalar, (d,) or (n_starts, d), where d is the dimension of the map, or that of θ: then the memory of a method
        is that at the start of a run. Starts of special symmetry may be kept in a set that repels all others, and then
        leave it by rounding, as those on the diagonal of ``problems.egg_carton``: prefer a generic one.
    n_steps : int
        Number of steps to keep.
    burn_in : int, optional
        Number of steps before, which are not kept.

    Returns
    -------
    Orbit

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    TooLarge
        If the states would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> logistic = ds.dynamics.Map(lambda x: 3.58 * x * (1 - x), 1)
    >>> found = ds.dynamics.orbit(logistic, 0.3, 20_000)
    >>> found.period().tolist(), found.bands().tolist()
    ([0], [4])
    """
    check_map("system", system)
    n_steps, burn_in = _check.count("n_steps", n_steps), _check.count("burn_in", burn_in, least=0)
    state = system.states(x0)
    _check.fits_in_memory("the orbit", (len(state), n_steps + 1, system.dim), instead="use fewer steps, or a burn-in")
    settings = {"map": system.name, "x0": state.tolist(), "n_steps": n_steps, "burn_in": burn_in}
    state, _ = advanced(system, state, burn_in)
    x = followed(system, state, n_steps)
    gone = outside(x)
    diverged = np.where(gone.any(axis=1), burn_in + gone.argmax(axis=1), np.inf)
    return Orbit(x, diverged, system.n_observed, system.modulo, settings)
