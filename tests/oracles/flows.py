"""Stationary states with currents: rings, linear SDEs, densities and currents made to measure."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from .spectra import panels


@dataclass(frozen=True)
class Ring:
    """dX = (f − V'(X)) dt + √D dW on a circle of length 2π, V = a cos x + b sin 2x.

    p(x) = N ∫_0^2π exp(Ψ(x + s) − Ψ(x)) ds, Ψ = 2 (V − f x)/D, is periodic and has the constant flux
    J = (f − V') p − ½ D p' = ½ D N (1 − exp(−4π f/D)); entropy production is flux times affinity, J · 4π f/D.
    """

    force: float
    noise: float
    a: float = 0.0
    b: float = 0.0

    def drift(self, x):
        """f − V'."""
        return self.force + self.a * np.sin(x) - 2 * self.b * np.cos(2 * x)

    def density(self, x):
        """Stationary density at points x (...)."""
        return self._unnormalized(x) * self._normalization

    @property
    def current(self):
        """The constant flux J."""
        return -0.5 * self.noise * self._normalization * math.expm1(-4 * math.pi * self.force / self.noise)

    @property
    def entropy_production(self):
        """Per unit of time, in units of Boltzmann's constant."""
        return self.current * 4 * math.pi * self.force / self.noise

    @property
    def _normalization(self):
        x = np.linspace(0, 2 * math.pi, 512, endpoint=False)  # periodic: converges faster than any power
        return 1 / (self._unnormalized(x).mean() * 2 * math.pi)

    def _unnormalized(self, x):
        s, w = (part.ravel() for part in panels(0.0, 2 * math.pi, 12))
        start, end = np.asarray(x, dtype=float)[..., None], np.asarray(x, dtype=float)[..., None] + s
        rise = self._potential(end) - self._potential(start) - self.force * s
        return (np.exp(2 * rise / self.noise) * w).sum(axis=-1)

    def _potential(self, x):
        return self.a * np.cos(x) + self.b * np.sin(2 * x)


@dataclass(frozen=True)
class LinearFlow:
    """dX = −A X dt + B dW: N(0, S), A S + S Aᵀ = D = B Bᵀ, current −Q S⁻¹ x p with Q = A S − ½ D antisymmetric."""

    A: np.ndarray
    B: np.ndarray

    @property
    def tensor(self):
        """D."""
        return self.B @ self.B.T

    @property
    def covariance(self):
        """S, from the linear system (A ⊗ I + I ⊗ A) vec S = vec D."""
        d = len(self.A)
        system = np.kron(self.A, np.eye(d)) + np.kron(np.eye(d), self.A)
        return np.linalg.solve(system, self.tensor.ravel()).reshape(d, d)

    @property
    def rotation(self):
        """Q = −∫ j xᵀ dx; the circulation ∫ x_1 j_2 − x_2 j_1 is 2 Q_12."""
        return self.A @ self.covariance - 0.5 * self.tensor

    @property
    def entropy_production(self):
        """∫ jᵀ (D/2)⁻¹ j / p = 2 tr(D⁻¹ A S Aᵀ) − tr A; in the plane 2 ω²/a for A = [[a, −ω], [ω, a]], B = σ I."""
        return 2 * np.trace(np.linalg.solve(self.tensor, self.A @ self.covariance @ self.A.T)) - np.trace(self.A)

    def density(self, x):
        """Stationary density at points x (..., d)."""
        S = self.covariance
        square = (x * np.linalg.solve(S, x[..., None])[..., 0]).sum(axis=-1)
        return np.exp(-0.5 * square) / math.sqrt(np.linalg.det(2 * math.pi * S))

    def current(self, x):
        """Density of the current at points x (..., d)."""
        return -(x @ (self.rotation @ np.linalg.inv(self.covariance)).T) * self.density(x)[..., None]

    def law(self, x0, t):
        """Mean and covariance of X_t: e^(−At) x0 and S − e^(−At) S e^(−Aᵀt)."""
        E, S = linalg.expm(-self.A * t), self.covariance
        return E @ np.atleast_1d(x0), S - E @ S @ E.T

    def functions(self):
        """(drift, diffusion) for an SDE of dim 2 in plain Python."""
        (a, b), (c, d) = self.A.tolist()
        rows = tuple(map(tuple, self.B.tolist()))

        def drift(t, x):
            return -a * x[0] - b * x[1], -c * x[0] - d * x[1]

        def diffusion(t, x):
            return rows

        return drift, diffusion


def rotating(a, omega, noise):
    """A = [[a, −ω], [ω, a]], D = ``noise`` I."""
    return LinearFlow(np.array([[a, -omega], [omega, a]]), math.sqrt(noise) * np.eye(2))


def kinetic(stiffness, friction, temperature):
    """dq = p dt, dp = (−kq − γp) dt + √(2γT) dW: noise of rank 1, covariance diag(T/k, T), rates λ² − γλ + k = 0."""
    return LinearFlow(
        np.array([[0.0, -1.0], [stiffness, friction]]), np.array([[0.0], [math.sqrt(2 * friction * temperature)]])
    )


@dataclass(frozen=True)
class Made:
    """A planar SDE with full tensor D(x), density p = e^(−U)/Z and current j = curl(r p) + constant, made to measure.

    μ = (½ ∇·(D p) + j)/p, that is μ_i = ½ Σ_j (∂_j D_ij − D_ij ∂_j U) + j_i/p, where curl(r p) = (∂_y, −∂_x)(r p). As
    ∇·j = 0, p is stationary. D = [[1 + ½ sin(x+y), 0.3 cos(x−y)], [., 1 + 0.4 cos y]] is positive: D_11 D_22 > 0.3².

    ``kind``: "plane", two wells, U = ½ (x² − 1)² + y² + ½ x y, r constant; "torus", period 2π, U = 0.8 cos x +
    ½ cos y + 0.6 sin(x + y), r constant; "box" [−1, 1]², U = x + ½ y² + x y, r = spin (1 − x²)(1 − y²), whose current
    leaves through no side, so that p is exact between reflecting sides.
    """

    kind: str
    spin: float = 1.0

    @property
    def bounds(self):
        """A box that holds all of p to 1e-12, or the whole torus or box."""
        return {
            "plane": ((-3.6, 3.6), (-5.5, 5.5)),
            "torus": ((0.0, 2 * math.pi),) * 2,
            "box": ((-1.0, 1.0),) * 2,
        }[self.kind]

    def functions(self):
        """(drift, diffusion) for an SDE, in plain Python; σ is the Cholesky factor of D."""
        spin, plane, box = self.spin, self.kind == "plane", self.kind == "box"

        def drift(t, z):
            x, y = z[0], z[1]
            r, rx, ry = spin, 0.0, 0.0
            if plane:
                ux, uy = 2 * x * (x * x - 1) + 0.5 * y, 2 * y + 0.5 * x
            elif box:
                ux, uy = 1 + y, y + x
                r = spin * (1 - x * x) * (1 - y * y)
                rx, ry = -2 * spin * x * (1 - y * y), -2 * spin * y * (1 - x * x)
            else:
                common = 0.6 * math.cos(x + y)
                ux, uy = common - 0.8 * math.sin(x), common - 0.5 * math.sin(y)
            d11, d12, d22 = 1 + 0.5 * math.sin(x + y), 0.3 * math.cos(x - y), 1 + 0.4 * math.cos(y)
            d11_x, d12_x, d12_y = 0.5 * math.cos(x + y), -0.3 * math.sin(x - y), 0.3 * math.sin(x - y)
            d22_y = -0.4 * math.sin(y)
            return (
                0.5 * (d11_x + d12_y - d11 * ux - d12 * uy) + ry - r * uy,
                0.5 * (d12_x + d22_y - d12 * ux - d22 * uy) - rx + r * ux,
            )

        return drift, _cholesky

    def density(self, x):
        """Stationary density at points x (..., 2), normalized over the bounds by quadrature."""
        (u, wu), (v, wv) = ((part.ravel() for part in panels(*side, 12)) for side in self.bounds)
        total = wu @ np.exp(-self._potential(u[:, None], v)) @ wv
        return np.exp(-self._potential(x[..., 0], x[..., 1])) / total

    def current(self, x):
        """Current curl(r p) at points x (..., 2)."""
        p, ux, uy, r, rx, ry = self._parts(x)
        return np.stack([(ry - r * uy) * p, -(rx - r * ux) * p], axis=-1)

    @property
    def entropy_production(self):
        """∫ jᵀ (D/2)⁻¹ j / p, by Gauss–Legendre."""
        (u, wu), (v, wv) = ((part.ravel() for part in panels(*side, 16)) for side in self.bounds)
        x = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1)
        j, D = self.current(x), self.tensor(x)
        work = (j * np.linalg.solve(D / 2, j[..., None])[..., 0]).sum(axis=-1) / self.density(x)
        return wu @ work @ wv

    def tensor(self, x):
        """D (..., 2, 2) at points x (..., 2)."""
        x, y = x[..., 0], x[..., 1]
        off = 0.3 * np.cos(x - y)
        return np.stack([np.stack([1 + 0.5 * np.sin(x + y), off], -1), np.stack([off, 1 + 0.4 * np.cos(y)], -1)], -2)

    def _potential(self, x, y):
        if self.kind == "plane":
            return 0.5 * (x**2 - 1) ** 2 + y**2 + 0.5 * x * y
        if self.kind == "torus":
            return 0.8 * np.cos(x) + 0.5 * np.cos(y) + 0.6 * np.sin(x + y)
        return x + 0.5 * y**2 + x * y

    def _parts(self, points):
        x, y = points[..., 0], points[..., 1]
        h = 1e-4  # five-point differences of U and r, apart from the formulas of the drift

        def slope(f, dx, dy):
            near, far = (f(x + s * dx, y + s * dy) - f(x - s * dx, y - s * dy) for s in (h, 2 * h))
            return (8 * near - far) / (12 * h)

        def r(x, y):
            return self.spin * ((1 - x * x) * (1 - y * y) if self.kind == "box" else 1 + 0 * x)

        U = self._potential
        return self.density(points), slope(U, 1, 0), slope(U, 0, 1), r(x, y), slope(r, 1, 0), slope(r, 0, 1)


@dataclass(frozen=True)
class Jump:
    """Planar SDE whose full tensor jumps across x = 0: D = [[3, 1.5], [1.5, 2]] left, [[1, ½], [½, 1]] right of it.

    μ = −½ D ∇Φ on both sides, Φ = ½ x² + x + ¼ x y + y². Then p ∝ e^(−Φ)/D_11: on each side D ∇p + p D ∇Φ = 0, no
    flux; D_11 p is continuous, as Itô asks, and so is D_12 p, as D_12/D_11 = ½ on both sides, so that no current runs
    along the line of the jump. Without the jump in p (Stratonovich: 1/√D_11; Hänggi: 1) it would be another law.
    """

    bounds = ((-6.0, 5.0), (-4.5, 4.5))

    def density(self, x, power=1.0):
        """Stationary density at points x (..., 2), not normalized; other powers of D_11 are wrong."""
        x, y = x[..., 0], x[..., 1]
        return np.exp(-(0.5 * x**2 + x + 0.25 * x * y + y**2)) / np.where(x < 0, 3.0, 1.0) ** power

    def functions(self):
        """(drift, diffusion) for an SDE, in plain Python."""

        def drift(t, z):
            ux, uy = z[0] + 1 + 0.25 * z[1], 0.25 * z[0] + 2 * z[1]
            if z[0] < 0:
                return -0.5 * (3 * ux + 1.5 * uy), -0.5 * (1.5 * ux + 2 * uy)
            return -0.5 * (ux + 0.5 * uy), -0.5 * (0.5 * ux + uy)

        left, right = (
            tuple(map(tuple, np.linalg.cholesky(D).tolist())) for D in ([[3, 1.5], [1.5, 2]], [[1, 0.5], [0.5, 1]])
        )

        def diffusion(t, z):
            return left if z[0] < 0 else right

        return drift, diffusion


def _cholesky(t, z):
    x, y = z[0], z[1]
    l11 = math.sqrt(1 + 0.5 * math.sin(x + y))
    l21 = 0.3 * math.cos(x - y) / l11
    return (l11, 0.0), (l21, math.sqrt(1 + 0.4 * math.cos(y) - l21 * l21))
