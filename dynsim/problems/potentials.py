"""Potential energies of AY §4.2: one atom among fixed ones, and atoms that all move."""

import itertools

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem

_RASTER = 80  # points along each side of the box in which stationary points are looked for
_NEWTON_STEPS = 40
_ALL_ATOMS = 1000  # AY (C.2)'s k runs to here


class ExponentialPotential(Problem):
    """A moving atom's energy among fixed ones; made by :func:`exponential_potential` and those built on it.

    Attributes
    ----------
    saddles : ndarray of shape (k, 2), or None
        Known saddle points, the lowest first.
    """

    def __init__(self, rows, weights, name, bounds=None, search=False):
        from dynsim._kernels.problems.potentials import exponential, exponential_gradient

        heights, a, b, c = rows[:, :4].T
        steepest = 0.5 * (-(a + c) + np.hypot(a - c, b))  # the largest eigenvalue of −Q, Q the quadratic form
        wells = bool(((a + c < 0) & (4 * a * c > b * b)).all())  # every exponential decays in all directions
        super().__init__(
            exponential,
            exponential_gradient,
            params=rows,
            weights=weights,
            dim=2,
            name=name,
            bounds=bounds,
            lipschitz=2 * steepest * np.abs(heights) if wells else None,
            gradient_bounds=np.sqrt(2 * steepest) * np.exp(-0.5) * np.abs(heights) if wells else None,
        )
        self.saddles = None
        if search:
            self.minima, self.saddles = _stationary_points(self)

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """(Q' + (Q'Δ)(Q'Δ)ᵀ) times the term, Q' = [[2a, b], [b, 2c]]: theta (..., 2) -> (..., n_terms, 2, 2)."""
        theta = _check.points("theta", theta, 2)
        heights, a, b, c, *centers = self.params.reshape(-1, 6).T
        dx, dy = theta[..., :1] - centers[0], theta[..., 1:] - centers[1]
        value = heights * np.exp(a * dx**2 + b * dx * dy + c * dy**2)
        u, v = 2 * a * dx + b * dy, b * dx + 2 * c * dy
        rows = np.stack([2 * a + u * u, b + u * v, b + u * v, 2 * c + v * v], axis=-1)
        return (value[..., None] * rows).reshape(*value.shape, 2, 2)


def _stationary_points(problem):
    """Minima and saddles in the problem's box, the lowest first: Newton from where ‖∇L‖ is least on a raster."""
    axes = [np.linspace(low, high, _RASTER) for low, high in problem.bounds]
    raster = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    steep = (problem.gradient(raster) ** 2).sum(axis=-1)
    shifts = [(p, q) for p, q in itertools.product((0, 1, 2), repeat=2) if (p, q) != (1, 1)]
    around = [steep[p : _RASTER - 2 + p, q : _RASTER - 2 + q] for p, q in shifts]
    starts = raster[1:-1, 1:-1][np.all([steep[1:-1, 1:-1] < other for other in around], axis=0)]
    found = _newton(problem, starts, np.array([axis[1] - axis[0] for axis in axes]))
    distinct = [p for k, p in enumerate(found) if not any(np.allclose(p, q, rtol=0, atol=1e-8) for q in found[:k])]
    points = np.array(sorted(distinct, key=problem.loss)).reshape(-1, 2)
    curvature = np.linalg.eigvalsh(problem.hessian(points))
    return points[curvature[:, 0] > 0], points[(curvature[:, 0] < 0) & (curvature[:, 1] > 0)]


def _newton(problem, theta, cell):
    """The stationary points that Newton iterations (n, 2) with steps of at most a cell come to within the box."""
    found = []
    for _ in range(_NEWTON_STEPS):
        hessian, gradient = problem.hessian(theta), problem.gradient(theta)
        regular = np.abs(np.linalg.det(hessian)) > 0
        theta, hessian, gradient = theta[regular], hessian[regular], gradient[regular]
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        size = np.abs(step / cell).max(axis=-1, keepdims=True)
        theta = theta - step / np.maximum(size, 1.0)
        done = size[:, 0] < 1e-6  # after this step 1e-12, after the next one rounding
        found.extend(theta[done])
        inside = ((theta > problem.bounds[:, 0]) & (theta < problem.bounds[:, 1])).all(axis=-1)
        theta = theta[inside & ~done]
    found = np.array(found).reshape(-1, 2)
    return found - np.linalg.solve(problem.hessian(found), problem.gradient(found)[..., None])[..., 0]


def exponential_potential(
    heights: ArrayLike, forms: ArrayLike, centers: ArrayLike, *, bounds: ArrayLike | None = None
) -> ExponentialPotential:
    """The energy of an atom at z among m fixed ones, L(z) = (1/m) Σ_k A_k exp(a_k Δx² + b_k ΔxΔy + c_k Δy²).

    Δx and Δy are z's distances from atom k. That is AY §4.2's min over z_i of (1/(m−1)) Σ_{k≠i} V_k(z_i, z_k), with the
    heights A_k and the signs of the quadratic forms as in (C.1) and (C.2): §4.2's own exp(−zᵀMz) lacks A_k and would
    grow with their a_k < 0. A step of a chain draws one atom k.

    Parameters
    ----------
    heights : array_like, shape (m,)
        A_k, not 0: negative for a well.
    forms : array_like, shape (m, 3) or (3,)
        a_k, b_k, c_k, or one triple for all.
    centers : array_like, shape (m, 2)
        Positions (x_k, y_k) of the fixed atoms.
    bounds : array_like, shape (2, 2), optional
        A box to plot.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.exponential_potential([-2.0, -1.0], (-1.0, 0.0, -4.0), [[0.0, 0.0], [9.0, 0.0]])
    >>> problem.loss([0.0, 0.0]).tolist()
    -1.0
    """
    heights = _check.array("heights", heights, ndim=1)
    m = heights.size
    if m == 0 or not heights.all():
        raise ArgumentError("heights must be at least one number, none of them 0")
    centers = _check.array("centers", centers, ndim=2)
    if centers.shape != (m, 2):
        raise ArgumentError(f"centers must have shape ({m}, 2), one row for each height, got {centers.shape}")
    forms = _check.array("forms", np.atleast_2d(forms), ndim=2)
    if forms.shape not in ((1, 3), (m, 3)):
        raise ArgumentError(f"forms must have shape ({m}, 3) or (3,), got {forms.shape}")
    if bounds is not None:
        bounds = _check.box("bounds", bounds, 2)
    rows = np.column_stack([heights, np.broadcast_to(forms, (m, 3)), centers])
    return ExponentialPotential(rows, np.full(m, 1 / m), f"exponential_potential({m} atoms)", bounds)


def muller_brown(scale: float = 0.25, *, standard: bool = False) -> ExponentialPotential:
    """The Müller–Brown potential V(x, y) = Σ_j A_j exp(a_j Δx² + b_j ΔxΔy + c_j Δy²), j = 1 … 4, scaled. AY (C.1).

    L = scale · V. One of the four terms, 4 · scale · A_j exp(…), is drawn per step; at AY's scale of ¼, where L is the
    mean of the terms, that is A_j exp(…) itself. Three minima and two saddles between them.

    Parameters
    ----------
    scale : float, optional
        Positive factor on V.
    standard : bool, optional
        A_1 = −200, as Müller & Brown have it, in place of AY's −150.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.muller_brown(scale=1.0, standard=True)
    >>> problem.minima.round(3).tolist()
    [[-0.558, 1.442], [0.623, 0.028], [-0.05, 0.467]]
    >>> problem.loss(problem.minima).round(2).tolist()
    [-146.7, -108.17, -80.77]
    """
    scale = _check.positive("scale", scale)
    heights = np.array([-200.0 if standard else -150.0, -100.0, -170.0, 15.0])
    rows = np.column_stack(
        [
            4 * scale * heights,
            *([-1, -1, -6.5, 0.7], [0, 0, 11, 0.6], [-10, -10, -6.5, 0.7]),  # a, b, c
            *([1, 0, -0.5, -1], [0, 0.5, 1.5, 1]),  # x, y
        ]
    )
    name = f"muller_brown({scale:g}{', standard' if standard else ''})"
    return ExponentialPotential(rows, np.full(4, 0.25), name, [(-1.5, 1.2), (-0.4, 2.1)], search=True)


def gaussian_wells(m: int = 1000) -> ExponentialPotential:
    """AY's large system: an atom among m fixed ones, wells along a bent line, wide and shallow to narrow and deep.

    L(z) = (1/m) Σ_k A_k exp(a_k Δx² + b_k ΔxΔy + c_k Δy²) with AY (C.2)'s parameters, k = 1 … 1000; with another m, k
    goes through as many equidistant values up to 1000. At k = 500, which the paper has in both branches of the line,
    the first one counts. Two minima, (3.949, 4.289) and (−0.608, −0.591), unless m is so small that the wells come
    apart.

    Parameters
    ----------
    m : int, optional
        The number of fixed atoms, at least 2. (AY call 1000 the number of all atoms and take the mean over m − 1, but
        give parameters of 1000 and do not say which one moves.)

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.gaussian_wells()
    >>> problem.loss(problem.minima).round(3).tolist()
    [-24.239, -8.428]
    """
    m = _check.count("m", m, least=2)
    _check.fits_in_memory("the atoms", (m, 30), instead="use fewer of them")
    k = np.arange(1, m + 1) * (_ALL_ATOMS / m)
    first = k <= _ALL_ATOMS / 2
    rows = np.column_stack(
        [
            -50.0 - 0.15 * k,
            *(-2.0 - 0.018 * k, -0.1 + 0.0002 * k, -10.0 + 0.009 * k),  # a, b, c
            np.where(first, 2.0 - 0.006 * k, 1.8 + 0.0024 * k),
            np.where(first, 2.0 - 0.006 * k, -1.0 + 0.006 * k),
        ]
    )
    name = f"gaussian_wells({m})"
    return ExponentialPotential(rows, np.full(m, 1 / m), name, [(-2.0, 5.0), (-2.0, 6.0)], search=True)


def _lennard_jones_force(s, depth, distance, stiffness):
    cube = (distance**2 / s) ** 3
    return 12 * depth * cube * (1 - cube) / s, 24 * depth * cube * (7 * cube - 4) / s**2


def _morse_force(s, depth, distance, stiffness):
    r = np.sqrt(s)
    decay = np.exp(-stiffness * (r - distance))
    slope = 2 * depth * stiffness * decay * (1 - decay)
    curvature = 2 * depth * stiffness**2 * decay * (2 * decay - 1)
    return slope / r, (curvature - slope / r) / s


def _gaussian_force(s, depth, distance, stiffness):
    w = depth * np.exp(-s / (2 * distance**2)) / distance**2
    return w, -w / distance**2


# w = V'(r)/r and (dw/dr)/r at s = r², which the Hessian of a pair is made of
_FORCES = {"lennard_jones": _lennard_jones_force, "morse": _morse_force, "gaussian": _gaussian_force}


class PairwisePotential(Problem):
    """Atoms that attract and repel each other in pairs; made by :func:`pairwise_potential`.

    Attributes
    ----------
    n_atoms, space : int
        Number m of atoms, and dimension d of the space they move in.
    pairs : ndarray of int, shape (n_terms, 2)
        The atoms i < j of each term.
    """

    def __init__(self, potential, n_atoms, space, depth, distance, stiffness):
        from dynsim._kernels.problems import potentials as kernels

        self.potential, self.n_atoms, self.space = potential, n_atoms, space
        self.pairs = np.array(list(itertools.combinations(range(n_atoms), 2)))
        self._shape = depth, distance, stiffness
        bounded = potential == "gaussian"
        super().__init__(
            getattr(kernels, potential),
            getattr(kernels, f"{potential}_gradient"),
            params=np.concatenate([self._shape, [space], self.pairs.ravel()]),
            weights=np.full(len(self.pairs), 1 / len(self.pairs)),
            dim=n_atoms * space,
            name=f"pairwise_potential({potential}, {n_atoms} atoms in {space}-D)",
            minima=_all_at_distance(n_atoms, space, 0.0 if bounded else distance),
            bounds=[(-1.5 * distance * n_atoms ** (1 / space), 1.5 * distance * n_atoms ** (1 / space))]
            * n_atoms
            * space,
            lipschitz=2 * depth / distance**2 if bounded else None,
            gradient_bounds=np.sqrt(2 / np.e) * depth / distance if bounded else None,
        )
        self.gradient_norms_field = kernels.norms_field(kernels.PAIRS[potential])

    def energy(self, theta: ArrayLike) -> np.ndarray:
        """E = Σ_{i<j} V(z_i, z_j), n_terms times the loss: theta (..., dim) -> (...)."""
        return self.n_terms * self.loss(theta)

    def atoms(self, theta: ArrayLike) -> np.ndarray:
        """Positions of the atoms: theta (..., dim) -> (..., n_atoms, space)."""
        theta = _check.points("theta", theta, self.dim)
        return theta.reshape(*theta.shape[:-1], self.n_atoms, self.space)

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """Blocks ±(w I + w' ΔΔᵀ), w = V'(r)/r, w' = (dw/dr)/r: theta (..., dim) -> (..., n_terms, dim, dim)."""
        atoms, (i, j) = self.atoms(theta), self.pairs.T
        apart = atoms[..., i, :] - atoms[..., j, :]
        w, bend = _FORCES[self.potential]((apart**2).sum(axis=-1), *self._shape)
        block = w[..., None, None] * np.eye(self.space) + bend[..., None, None] * (
            apart[..., None] * apart[..., None, :]
        )
        m, d, n = self.n_atoms, self.space, np.arange(self.n_terms)
        result = np.zeros((*atoms.shape[:-2], self.n_terms, m, d, m, d))
        for row, column, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            # the index of the pairs is split by a slice, so NumPy puts its axis first
            result[..., n, row, :, column, :] = sign * np.moveaxis(block, -3, 0)
        return result.reshape(*atoms.shape[:-2], self.n_terms, m * d, m * d)


def _all_at_distance(n_atoms, space, distance):
    """m points, all at one distance from each other (a regular simplex around 0), (1, m·d); None for m > d + 1."""
    if distance == 0:
        return np.zeros((1, n_atoms * space))
    if n_atoms > space + 1:
        return None
    corners = np.eye(n_atoms) - 1 / n_atoms
    basis = np.linalg.svd(corners)[0][:, : n_atoms - 1]
    points = np.zeros((n_atoms, space))
    points[:, : n_atoms - 1] = corners @ basis * distance / np.sqrt(2)
    return points.reshape(1, -1)


def pairwise_potential(
    potential: str = "lennard_jones",
    n_atoms: int = 3,
    *,
    space: int = 3,
    depth: float = 1.0,
    distance: float = 1.0,
    stiffness: float | None = None,
) -> PairwisePotential:
    """m atoms that interact in pairs, E(z_1, …, z_m) = Σ_{i<j} V(z_i, z_j), AY §4.2.

    θ is all positions, one atom's after the other's. L = E/(number of pairs), the mean of the terms, one for each pair:
    a step draws one pair and moves its two atoms. With r = ‖z_i − z_j‖, V is

    * ``"lennard_jones"``: ε((r0/r)¹² − 2(r0/r)⁶);
    * ``"morse"``: ε((1 − e^{−a(r−r0)})² − 1);
    * ``"gaussian"``: −ε exp(−r²/(2r0²)), least where all atoms are in one place.

    The energy does not change when all atoms are shifted or turned: a minimum is one of a family, and its Hessian is
    singular along it. ``minima`` has a member of the lowest family if m ≤ d + 1, where every pair can be at its best
    distance; for larger clusters it is None.

    Parameters
    ----------
    potential : {"lennard_jones", "morse", "gaussian"}
    n_atoms : int
        m, at least 2.
    space : int, optional
        Dimension d of the positions.
    depth, distance : float, optional
        ε and r0, positive.
    stiffness : float, optional
        a > 0 of Morse's potential, 6/r0 by default, where its bottom is as curved as Lennard-Jones'.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.pairwise_potential("lennard_jones", n_atoms=4)
    >>> problem.energy(problem.minima).round(12).tolist()
    [-6.0]
    """
    _check.choice("potential", potential, _FORCES)
    n_atoms, space = _check.count("n_atoms", n_atoms, least=2), _check.count("space", space)
    depth, distance = _check.positive("depth", depth), _check.positive("distance", distance)
    if stiffness is not None and potential != "morse":
        raise ArgumentError(f"stiffness belongs to the potential 'morse', not to {potential!r}")
    stiffness = 6 / distance if stiffness is None else _check.positive("stiffness", stiffness)
    _check.fits_in_memory("the pairs", (n_atoms, n_atoms, 8), instead="use fewer atoms")
    return PairwisePotential(potential, n_atoms, space, depth, distance, stiffness)
