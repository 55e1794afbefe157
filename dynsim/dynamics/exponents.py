"""Lyapunov exponents of maps, by re-orthonormalized tangent vectors, and the multipliers of periodic orbits."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.averages.batches import Batches
from dynsim.averages.estimate import Estimate
from dynsim.averages.estimators import estimate
from dynsim.dynamics.system import Map, check_map, followed, multipliers, separation
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.results.common import xarray_module

_FRAME_SEED = (
    0  # of the first tangent vectors: axes of the coordinates are invariant for many maps, random ones are not
)
_STDERRS = 3  # an exponent closer to 0 counts as 0 in the dimension, which would jump there
_TOGETHER = 2**18  # numbers in the derivatives that are taken in one call
_CLOSED = 1e-6  # relative distance at which the image of a point is the next point of a cycle


@dataclass(frozen=True, eq=False, repr=False)
class LyapunovExponents:
    """Rates at which small differences grow, from :func:`dynsim.dynamics.lyapunov_exponents`.

    Attributes
    ----------
    value : ndarray, shape (n_exponents,)
        λ_1 ≥ λ_2 ≥ …, up to their errors, per unit of time. −inf where the derivative was singular.
    stderr : ndarray, shape (n_exponents,)
        Standard errors; 0 for −inf.
    sum, sum_stderr : float
        Average of log|det DF|, the sum of all ``dim`` exponents, computed without them, and its standard error.
    per_start : ndarray, shape (n_starts, n_exponents)
        The exponents from each start. They agree, up to their errors, where all starts lead to one attractor.
    estimate : Estimate or None
        The finite ones among the exponents and the sum, with joint covariance, R̂ and autocorrelation time; None if
        none is finite.
    settings : dict
        What was asked for, with ``n_steps`` and ``burn_in`` as they were made: multiples of ``every``.
    """

    value: np.ndarray
    stderr: np.ndarray
    sum: float
    sum_stderr: float
    per_start: np.ndarray
    estimate: Estimate | None
    settings: dict = field(repr=False)
    _cov: np.ndarray = field(repr=False)

    @property
    def dimension(self) -> float:
        r"""Kaplan–Yorke dimension D = j + (λ_1 + … + λ_j)/\|λ_{j+1}\|, j the largest with λ_1 + … + λ_j ≥ 0.

        An exponent within three standard errors of 0 counts as 0: so a cycle of a flow has D = 1, a torus 2.

        Raises
        ------
        NotApplicable
            If the sum of the exponents that were computed is not negative, and there are more.
        """
        return self._kaplan_yorke()[0]

    @property
    def dimension_stderr(self) -> float:
        """Standard error of ``dimension``, from the joint covariance of the exponents."""
        return self._kaplan_yorke()[1]

    def plot(self, ax=None, **style):
        """Draw the averages of the exponents up to each time, with the final values ± 2 stderr, and return the Axes."""
        from dynsim.plot import plot_exponents

        return plot_exponents(self, ax, **style)

    def to_xarray(self):
        """The exponents as an ``xarray.Dataset`` (needs the extra ``xarray``)."""
        index = np.arange(1, self.value.size + 1)
        return xarray_module().Dataset(
            {
                "exponent": ("index", self.value),
                "stderr": ("index", self.stderr),
                "per_start": (("start", "index"), self.per_start),
            },
            coords={"index": index},
            attrs={"sum": self.sum, "sum_stderr": self.sum_stderr, "map": self.settings["system"]},
        )

    def _kaplan_yorke(self):
        value = np.where(np.abs(self.value) <= _STDERRS * self.stderr, 0.0, self.value)
        sums = np.cumsum(value)
        j = int(np.count_nonzero(sums >= 0))  # the sums fall once they have begun to: λ descends
        if j == self.settings["dim"] or j == 0:
            return float(j), 0.0
        if j == value.size:
            raise NotApplicable(
                f"the {j} exponents sum to {sums[-1]:.3g}, not below 0: ask for more than n_exponents = {j} of "
                f"{self.settings['dim']} to tell the dimension"
            )
        if np.isneginf(value[j]):
            return float(j), 0.0
        slope = np.append(np.full(j, -1 / value[j]), sums[j - 1] / value[j] ** 2)
        return j - sums[j - 1] / value[j], float(np.sqrt(slope @ self._cov[: j + 1, : j + 1] @ slope))

    def __repr__(self):
        pairs = zip(self.value, self.stderr, strict=True)
        shown = ", ".join(f"{value:.4g} ± {stderr:.2g}" for value, stderr in pairs)
        return f"LyapunovExponents({self.settings['system']}: {shown}; sum {self.sum:.4g} ± {self.sum_stderr:.2g})"


def lyapunov_exponents(
    system: Map,
    x0: ArrayLike,
    *,
    n_steps: int,
    burn_in: int = 1000,
    n_exponents: int | None = None,
    every: int = 1,
    dt: float = 1.0,
) -> LyapunovExponents:
    """Lyapunov exponents of a map: rates λ_i = lim log(R_1 ⋯ R_k)_ii / (k dt) of the tangent dynamics.

    ``DF(x_k) Q_k = Q_{k+1} R_{k+1}``, Q orthonormal and R upper triangular, re-orthonormalized every so many steps. The
    exponents are time averages of log|R_ii|, averaged over the starts; their errors are those of averages over
    dependent values (:func:`dynsim.time_average`), and the same warnings and refusals apply. An orbit with λ_1 > 0 is
    chaotic; one that tends to a cycle of period p has λ_i = log|μ_i|/p, with μ of :func:`floquet_multipliers`.

    Exponents that are equal come apart by chance: over a finite time the vector that has grown most is called the
    first, so that λ_1 is too large and λ_2 too small by about the standard error of one start. Their sum is right.

    Parameters
    ----------
    system : Map
        F, with its derivative: from :func:`descent`, :func:`flow`, or a :class:`Map` of your own.
    x0 : array_like, scalar or shape (dim,) or (n_starts, dim)
        Where orbits start, θ alone or with what the method remembers: all in the basin of one attractor.
    n_steps : int
        Steps of each orbit that are averaged over.
    burn_in : int, optional
        Steps before these, on the way to the attractor; the tangent vectors turn meanwhile.
    n_exponents : int, optional
        The largest so many only; all ``system.dim`` by default.
    every : int, optional
        Steps between re-orthonormalizations. ``n_steps`` is rounded down to a multiple of it and ``burn_in`` up, and
        ``settings`` tells to which. More than 1 is faster, but the derivative of so many steps must neither
        overflow nor have a condition number near 1e16. On an attractor that is visited in p bands in turn, take p:
        errors are those of averages over whole rounds then, which is far less.
    dt : float, optional
        Time of one step, for exponents per unit of time: that of a :func:`flow`.

    Returns
    -------
    LyapunovExponents
        −inf where the derivative was exactly singular on the way, without warning: a superstable cycle. Where only
        rounding keeps it from that, or directions apart, about −36 for each interval stands instead.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or an orbit leaves the finite numbers: which, and when.
    TooShort
        If the averages cannot be told with an honest error, or the starts disagree: they lead to different attractors,
        or have not got there. ``estimate`` is attached.

    Warns
    -----
    PoorMixing
        If the starts disagree somewhat.

    Source: Benettin et al. (1980), Meccanica 15, 9-30; Kaplan and Yorke (1979).

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.dynamics import Map, lyapunov_exponents
    >>> A = np.array([[2.0, 1.0], [1.0, 1.0]])  # Arnold's cat map
    >>> cat = Map(lambda x: x @ A % 1, 2, lambda x: np.broadcast_to(A, (*x.shape, 2)))
    >>> found = lyapunov_exponents(cat, [0.1, 0.2], n_steps=2000)
    >>> found.value.round(6), round(float(np.log((3 + 5**0.5) / 2)), 6)
    (array([ 0.962424, -0.962424]), 0.962424)
    """
    check_map("system", system)
    x = system.states(x0)
    n_steps, burn_in = _check.count("n_steps", n_steps), _check.count("burn_in", burn_in, least=0)
    n_exponents = system.dim if n_exponents is None else _check.count("n_exponents", n_exponents)
    if n_exponents > system.dim:
        raise ArgumentError(f"n_exponents must be at most the dimension {system.dim}, got {n_exponents}")
    every, dt = _check.count("every", every), _check.positive("dt", dt)
    if n_steps < every:
        raise ArgumentError(f"n_steps must be at least every = {every}, got {n_steps}")
    rates, x = _rates(system, x, n_exponents, burn_in=burn_in, n_steps=n_steps, every=every)
    rates /= every * dt
    settings = {
        "system": system.name,
        "dim": system.dim,
        "x0": np.array(x0, dtype=float).tolist(),
        "n_steps": rates.shape[1] * every,
        "burn_in": -(-burn_in // every) * every,
        "every": every,
        "dt": dt,
    }
    return _result(rates, x, settings)


def floquet_multipliers(system: Map, cycle: ArrayLike) -> np.ndarray:
    r"""Eigenvalues μ of DF(x_p) ⋯ DF(x_1) around a periodic orbit, largest first: it attracts if all \|μ\| < 1.

    Parameters
    ----------
    system : Map
    cycle : array_like, shape (p, dim)
        Its points in order, F(x_1) = x_2, …, F(x_p) = x_1, angles up to their period; a fixed point for p = 1.

    Returns
    -------
    ndarray, shape (dim,)
        Complex.

    Raises
    ------
    ArgumentError
        If the points are not mapped to one another, within 1e-6 of their size.

    Examples
    --------
    >>> from dynsim.dynamics import Map, floquet_multipliers
    >>> logistic = Map(lambda x: 3.2 * x * (1 - x), 1, lambda x: (3.2 - 6.4 * x)[..., None])
    >>> low, high = (4.2 - 0.84**0.5) / 6.4, (4.2 + 0.84**0.5) / 6.4  # 4 + 2r − r² is the multiplier
    >>> floquet_multipliers(logistic, [[low], [high]]).round(6)
    array([0.16+0.j])
    """
    check_map("system", system)
    cycle = _check.array("cycle", cycle, ndim=2)
    if cycle.shape[0] == 0 or cycle.shape[1] != system.dim:
        raise ArgumentError(f"cycle must have shape (p, {system.dim}) with p at least 1, got {cycle.shape}")
    with np.errstate(all="ignore"):  # what is not finite is refused as well
        gaps = separation(system(cycle), np.roll(cycle, -1, axis=0), system.modulo)
    if not gaps.max() <= _CLOSED * max(1.0, np.abs(cycle).max()):
        k = int(gaps.argmax())
        raise ArgumentError(f"cycle must be a periodic orbit, but point {k} is mapped {gaps[k]:.2g} from the next one")
    return multipliers(system, cycle)


def _rates(system, x, n_exponents, *, burn_in, n_steps, every):
    """log|R_ii| and log|det DF| over intervals of ``every`` steps after burn-in, (m, n, n_exponents + 1); last x."""
    m, d = x.shape
    first, n = -(-burn_in // every), n_steps // every
    _check.fits_in_memory("the rates", (m, n, n_exponents + 1), instead="use fewer steps or a larger every")
    _check.fits_in_memory("the derivatives", (m, every, d, d), instead="use fewer starts or a smaller every")
    rates = np.empty((m, n, n_exponents + 1))
    frame = np.linalg.qr(np.random.default_rng(_FRAME_SEED).normal(size=(d, n_exponents)))[0]
    frame = np.broadcast_to(frame, (m, d, n_exponents))
    together = max(1, _TOGETHER // (m * d * d * every))  # intervals whose derivatives are taken in one call
    for begin in range(0, first + n, together):
        intervals = range(begin, min(begin + together, first + n))
        x, tangents, volumes = _tangents(system, x, len(intervals) * every, begin * every)
        for k in intervals:
            for step in range((k - begin) * every, (k - begin + 1) * every):
                with np.errstate(all="ignore"):  # what is not finite is refused with its step
                    frame = tangents[:, step] @ frame
            if not np.isfinite(frame).all():
                _refuse_infinite(frame, "the derivative along the orbit", (k + 1) * every, every)
            frame, R = np.linalg.qr(frame)
            if k >= first:
                with np.errstate(divide="ignore"):
                    rates[:, k - first, :-1] = np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
                rates[:, k - first, -1] = volumes[:, (k - begin) * every : (k - begin + 1) * every].sum(axis=1)
    return rates, x


def _tangents(system, x, n_steps, done):
    """The states (m, d) after some steps, DF at those on the way (m, n_steps, d, d), and log|det DF| there.

    ``done`` steps have been made before: only for messages.
    """
    states = followed(system, x, n_steps)
    if not np.isfinite(states).all():
        lost = ~np.isfinite(states).all(axis=2)
        _refuse_infinite(states, "the orbit", done + int(lost.any(axis=0).argmax()), 1)
    with np.errstate(all="ignore"):
        tangents = system.jacobian(states[:, :-1])
        return states[:, -1], tangents, np.linalg.slogdet(tangents)[1]


def _refuse_infinite(values, what, step, every):
    """Say which orbit, or which derivative, is not finite any more."""
    lost = ~np.isfinite(values).all(axis=(1, 2))
    advice = "; a smaller every may help" if every > 1 else ""
    raise ArgumentError(
        f"x0 must lead to bounded orbits, but {what} from start {np.flatnonzero(lost)[0]} is not finite after "
        f"{step} steps ({np.count_nonzero(lost)} of {lost.size} starts){advice}"
    )


def _result(rates, x, settings):
    """Averages with their errors; −inf with error 0 where a rate was −inf."""
    finite = np.isfinite(rates).all(axis=(0, 1))
    q = finite.size
    value, stderr, cov, found = np.full(q, -np.inf), np.zeros(q), np.zeros((q, q)), None
    if finite.any():
        interval = settings["every"] * settings["dt"]
        batches = Batches.of_series(
            rates[..., finite], start=settings["burn_in"] * settings["dt"], interval=interval, positions=x
        )
        names = (*(f"λ{i}" for i in range(1, q)), "sum")
        names = tuple(name for name, kept in zip(names, finite, strict=True) if kept)
        found = estimate(batches, burn_in=0.0, shape=(len(names),), names=names)
        value[finite], stderr[finite], cov[np.ix_(finite, finite)] = found.value, found.stderr, found.cov
    per_start = rates[..., :-1].mean(axis=1)
    return LyapunovExponents(
        value[:-1], stderr[:-1], float(value[-1]), float(stderr[-1]), per_start, found, settings, cov[:-1, :-1]
    )
