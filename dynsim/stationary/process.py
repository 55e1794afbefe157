"""What can be asked of a Markov process on finitely many cells or states, in continuous or discrete time."""

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim._typing import Region
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.grid import Grid
from dynsim.results import GridFunction, ReactiveFlux, Spectrum
from dynsim.stationary import graphs
from dynsim.stationary.modes import slow_modes
from dynsim.stationary.solvers import places_of, solve


class MarkovProcess:
    """Base of :class:`FokkerPlanck`, :class:`TransferOperator` and :class:`MarkovChain`; never made by itself.

    All answers come from the rates between cells or states by elimination without subtraction: probabilities of 1e-50
    and times of 1e50 have the same relative accuracy as others.

    Attributes
    ----------
    x : ndarray, shape (m, dim)
        Centers of the cells, or the states.
    grid : Grid or None
        The cells; None for states.
    rates : csr_array, shape (m, m)
        Rates of the jumps i → j per unit of time, or their probabilities per step; the diagonal is left out.
    killing : ndarray, shape (m,)
        Rates of leaving for good.
    label : str
        What it is.
    """

    grid: Grid | None
    label: str
    transition: sparse.csr_array  # of those in discrete time
    discrete = False  # time

    @property
    def x(self) -> np.ndarray:
        """Centers of the cells, or the states."""
        raise NotImplementedError

    @property
    def rates(self) -> sparse.csr_array:
        """Rates or probabilities of the jumps, without the diagonal."""
        raise NotImplementedError

    @property
    def killing(self) -> np.ndarray:
        """Rates of leaving for good."""
        raise NotImplementedError

    def closed_classes(self) -> list[np.ndarray]:
        """Numbers of the cells or states of each set that is never left and whose members all reach each other."""
        return graphs.closed_classes(self.rates, self.killing)

    def mean_first_passage(self, target: Region | None = None) -> GridFunction:
        """Expected time, or number of steps, until the process is in a region; inf where it may never get there.

        Parameters
        ----------
        target : callable
            ``target(theta)`` for theta of shape (..., dim) returns booleans of shape (...). May be left out where the
            process is absorbed at a side. Absorption ends the wait as well.

        Returns
        -------
        GridFunction
            0 in the target.
        """
        if target is None and not self.killing.any():
            raise ArgumentError("target must be a region, as there is no absorbing side at which the process ends")
        inside = np.zeros(len(self.x), dtype=bool) if target is None else self._region("target", target)
        rates, (into,) = self._stopped(self.rates, {"target": target}, (inside,))
        leaving = into + self.killing
        certain = graphs.surely_leaves(rates, leaving, ~inside)
        values = np.full(len(self.x), np.inf)
        values[inside] = 0.0
        if certain.any():
            some = np.flatnonzero(certain)
            inner = rates[some][:, some]
            values[some] = solve(inner, leaving[some], np.ones(some.size), self.grid, some, self._places(some))
        unit = "steps" if self.discrete else "time"
        return GridFunction(self.x, values, self.grid, f"mean {unit} to the target of {self.label}")

    def committor(self, a: Region, b: Region) -> GridFunction:
        """Probability that the process gets into region ``b`` before region ``a``: 0 in a, 1 in b.

        Where it may reach neither, that counts as not reaching b; so does absorption at a side.
        """
        in_a, in_b = self._disjoint(a, b)
        values = self._committor(self.rates, (a, b), (in_a, in_b))
        return GridFunction(self.x, values, self.grid, f"committor of {self.label}")

    def reactive_flux(self, a: Region, b: Region) -> ReactiveFlux:
        """How often, and where, the stationary process goes from region ``a`` to region ``b``.

        f_ij = p_i q⁻_i r_ij q⁺_j, q⁺ the probability of reaching b before a, q⁻ that of coming from a rather than from
        b; its net sum through a surface between them is the rate (E & Vanden-Eijnden 2006; Metzner et al. 2009).
        """
        in_a, in_b = self._disjoint(a, b)
        log_p = self.stationary().log_mass
        forward = self._committor(self.rates, (a, b), (in_a, in_b))
        rows, columns, rate = sparse.find(self.rates)
        alive = (log_p[rows] > -np.inf) & (log_p[columns] > -np.inf)
        rows, columns, rate = rows[alive], columns[alive], rate[alive]
        log_flow = log_p[rows] + np.log(rate)
        m = len(self.x)
        reversed_rates = sparse.csr_array((np.exp(log_flow - log_p[columns]), (columns, rows)), shape=(m, m))
        backward = self._committor(reversed_rates, (b, a), (in_b, in_a))
        scale = log_flow.max(initial=-np.inf, where=log_flow < np.inf)
        scale = scale if np.isfinite(scale) else 0.0
        flow = np.exp(log_flow - scale) * backward[rows] * forward[columns]
        through = (forward[rows] < 0.5) & (forward[columns] >= 0.5)
        back = (forward[rows] >= 0.5) & (forward[columns] < 0.5)
        scaled_rate = flow[through].sum() - flow[back].sum()
        with np.errstate(divide="ignore"):
            log_rate = float(np.log(max(scaled_rate, 0.0)) + scale)
        from_a = float((np.exp(log_p) * backward).sum())
        return ReactiveFlux(
            rate=float(np.exp(log_rate)),
            log_rate=log_rate,
            mean_time=float(np.exp(np.log(from_a) - log_rate)) if from_a > 0 else np.inf,
            forward=GridFunction(self.x, forward, self.grid, f"forward committor of {self.label}"),
            backward=GridFunction(self.x, backward, self.grid, f"backward committor of {self.label}"),
            current=self._current(rows, columns, flow * np.exp(scale)),
        )

    def current(self) -> np.ndarray:
        """The probability current of the stationary law at each cell, shape (m, dim); for states per state.

        J = Σ_j (p_i r_ij − p_j r_ji)(x_j − x_i)/2 over the cell's volume; 0 in detailed balance.
        """
        rows, columns, rate = sparse.find(self.rates)
        return self._current(rows, columns, self.stationary().mass[rows] * rate)

    def entropy_production(self) -> float:
        """Σ (p_i r_ij − p_j r_ji) ln(p_i r_ij / p_j r_ji) over pairs, per unit of time or step, in units of k_B.

        0 in detailed balance; inf where a jump that happens has no way back.
        """
        log_p = self.stationary().log_mass
        rows, columns, rate = sparse.find(self.rates)
        back = np.asarray(self.rates[columns, rows]).ravel()
        with np.errstate(divide="ignore"):
            forth, back = log_p[rows] + np.log(rate), log_p[columns] + np.log(back)
        happens = forth > np.log(np.finfo(float).tiny)
        if (happens & (back == -np.inf)).any():
            return np.inf
        with np.errstate(invalid="ignore", over="ignore"):
            terms = np.exp(forth) * (forth - back)  # half of the pair's, the other half comes with (j, i)
        return float(terms[happens].sum())

    def spectrum(self, k: int = 6) -> Spectrum:
        """The k slowest modes: eigenvalues of the generator or transition matrix, with their functions.

        By Arnoldi's method on the inverse, whose factors have no subtraction: gaps of 1e-20 are right. Modes much
        slower than the others are taken out before these are computed.
        """
        k = _check.count("k", k)
        m = len(self.x)
        if k > m:
            raise ArgumentError(f"k must be at most the number of cells or states, {m}, got {k}")
        classes = self.closed_classes()
        if len(classes) > 1:
            raise NotApplicable(graphs.reducible(self.label, classes, self.x, self.grid))
        log_p = None if self.killing.any() else self._log_stationary()
        transition = self.transition if self.discrete else None
        decay, functions = slow_modes(self.rates, self.killing, self._places(slice(None)), log_p, k, transition)
        eigenvalues = 1 - decay if self.discrete else -decay
        with np.errstate(divide="ignore"):
            rates = -np.log(np.abs(eigenvalues)) if self.discrete else decay.real
        rates = np.where(np.abs(rates) < np.finfo(float).tiny, 0.0, rates)
        leaving = np.asarray(self.rates.sum(axis=1)).ravel() + self.killing
        wrong = leaving[:, None] * functions.T - self.rates @ functions.T - decay * functions.T
        residuals = np.abs(wrong).max(axis=0) / leaving.max()
        return Spectrum(eigenvalues, rates, functions, residuals, self.x, self.grid, self.label)

    def stationary(self):
        """The stationary law."""
        raise NotImplementedError

    def _log_stationary(self):
        raise NotImplementedError

    def _places(self, some):
        return self.x[some] if self.grid is None else places_of(self.grid, some)

    def _point_mass(self, point):
        """Masses (m,) that stand for a point: its state, or the cells around it with it as their mean; or None."""
        mass = np.zeros(len(self.x))
        if self.grid is not None:
            cells, shares = self.grid.around(point)
            np.add.at(mass, cells, shares)
            return mass if cells.size else None
        distance = np.abs(self.x - point).max(axis=1)
        nearest = int(np.argmin(distance))
        mass[nearest] = 1.0
        return mass if distance[nearest] <= 1e-9 * (1 + np.abs(point).max()) else None

    def _region(self, name, region):
        inside = _check.region(name, region, self.x)
        if not inside.any():
            raise ArgumentError(f"{name} holds none of the {'states' if self.grid is None else 'centers of cells'}")
        return inside

    def _disjoint(self, a, b):
        in_a, in_b = self._region("a", a), self._region("b", b)
        if (in_a & in_b).any():
            raise ArgumentError(f"a and b must have no point in common, both hold {self.x[in_a & in_b][0].tolist()}")
        return in_a, in_b

    def _stopped(self, rates, regions, masks):
        """Rates of the process that ends in any of the regions, and the rates of ending in each, (m,)."""
        ends = np.any(masks, axis=0)
        into = [np.asarray(rates[:, np.flatnonzero(mask)].sum(axis=1)).ravel() for mask in masks]
        keep = sparse.diags_array((~ends).astype(np.float64))
        stopped = (keep @ rates @ keep).tocsr()
        stopped.eliminate_zeros()
        return stopped, [np.where(ends, 0.0, rate) for rate in into]

    def _committor(self, rates, regions, masks):
        stopped, into = self._stopped(rates, dict(zip("ab", regions, strict=True)), masks)
        leaving = into[0] + into[1] + self.killing
        reaches = graphs.surely_leaves(stopped, leaving, ~(masks[0] | masks[1]), surely=False)
        some = np.flatnonzero(reaches)
        values = masks[1].astype(np.float64)
        if some.size:
            # what goes where nothing is reached any more has ended without b
            lost = np.asarray(stopped[some].sum(axis=1)).ravel()
            inner = stopped[some][:, some]
            lost = np.maximum(lost - np.asarray(inner.sum(axis=1)).ravel(), 0.0) if some.size < len(values) else 0.0
            found = solve(inner, leaving[some] + lost, into[1][some], self.grid, some, self._places(some))
            values[some] = np.minimum(found, 1.0)
        return values

    def _current(self, rows, columns, flow):
        step = self.x[columns] - self.x[rows] if self.grid is None else self.grid.displacements(rows, columns)
        m = len(self.x)
        result = np.empty((m, step.shape[1]))
        for j in range(step.shape[1]):
            moved = 0.5 * flow * step[:, j]
            result[:, j] = np.bincount(rows, moved, minlength=m) + np.bincount(columns, moved, minlength=m)
        return result if self.grid is None else result / self.grid.volumes[:, None]
