"""What the local results share: a ball around a minimum, with the curvature and the slopes in it; means over paths."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import SGD, Method
from dynsim.problems import LinearModel, Problem

_POINTS = 512  # of the ball, half of them on its surface, where extremes tend to be
_HELD = 2**22  # numbers that are held at a time
_OFF = 1e-6  # of the radius: how far from θ* the minimum may be


@dataclass(frozen=True, eq=False)
class Ball:
    """The ball of a radius around a minimum θ* of a problem without kinks in it."""

    problem: Problem
    center: np.ndarray
    radius: float

    @classmethod
    def make(cls, problem, at, radius):
        """Refuse what is no strict minimum."""
        _check.instance("problem", problem, Problem, "a problem, such as problems.linear_model(X, y)")
        center = _check.start("at", at, 1, problem.dim)[0]
        ball = cls(problem, center, _check.positive("radius", radius))
        planes = problem.kink_planes
        distances = np.abs(planes[:, :-1] @ center - planes[:, -1]) / np.linalg.norm(planes[:, :-1], axis=1)
        if (distances < radius).any():
            raise NotApplicable(
                f"{problem.name} has a kink at {distances.min():.3g} from θ*, within the radius {radius:g}: there are "
                "no Hessians"
            )
        least, slope = ball.eigen[0][0], float(np.linalg.norm(problem.gradient(center)))
        if not least > 0:
            raise NotApplicable(
                f"at must be a minimum at which L is strongly convex, the least eigenvalue of its Hessian there is "
                f"{least:.3g}"
            )
        if slope > _OFF * least * radius:
            raise ArgumentError(
                f"at must be a minimum of {problem.name}, but the gradient there has norm {slope:.3g}: the minimum is "
                f"about {slope / least:.3g} away"
            )
        return ball

    @cached_property
    def eigen(self):
        """Eigenvalues (dim,) and eigenvectors (dim, dim) of H = ∇²L(θ*)."""
        return np.linalg.eigh(self.problem.hessian(self.center))

    @property
    def exact(self) -> bool:
        """Whether the extremes are exact, or those over points of the ball."""
        return isinstance(self.problem, LinearModel) and self.problem.loss_name == "square"

    @property
    def curvature(self) -> float:
        """The least eigenvalue of ∇²L."""
        return self._curvatures[0]

    @property
    def sharpness(self) -> float:
        """The largest eigenvalue of ∇²L."""
        return self._curvatures[1]

    @cached_property
    def _curvatures(self):
        if self.exact:
            return float(self.eigen[0][0]), float(self.eigen[0][-1])
        found = [np.linalg.eigvalsh(self.problem.hessian(points)) for points in self._parts()]
        return min(float(values.min()) for values in found), max(float(values.max()) for values in found)

    @cached_property
    def slopes(self) -> np.ndarray:
        """σ_j = sup ‖∇l_j‖, shape (n_terms,)."""
        problem = self.problem
        if self.exact and isinstance(problem, LinearModel):
            size = np.linalg.norm(problem.X, axis=1)
            return size * (np.abs(problem.residuals(self.center)) + size * self.radius)
        found = np.zeros(problem.n_terms)
        for points in self._parts():
            np.maximum(found, np.linalg.norm(problem.term_gradients(points), axis=-1).max(axis=0), out=found)
        return found

    def require_convex(self) -> float:
        """The least eigenvalue of ∇²L, if it is positive in the whole ball."""
        if not self.curvature > 0:
            raise NotApplicable(
                f"L must be strongly convex within the radius {self.radius:g} of θ*, but the least eigenvalue of its "
                f"Hessian there is {self.curvature:.3g}"
            )
        return self.curvature

    def _parts(self):
        """The center and points around it, as many at a time as their Hessians fit."""
        rng, d = np.random.default_rng(0), self.center.size
        directions = rng.normal(size=(_POINTS, d))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = np.where(np.arange(_POINTS) % 2, rng.random(_POINTS) ** (1 / d), 1.0)
        points = self.center + self.radius * np.vstack([np.zeros(d), lengths[:, None] * directions])
        size = max(1, _HELD // (self.problem.n_terms * d * d))
        return [points[first : first + size] for first in range(0, len(points), size)]


def check_sgd(verb, method):
    """Refuse what does not follow estimated gradients as they are."""
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    if type(method) is not SGD:
        raise NotApplicable(f"{verb} is about SGD (with any sampling scheme), got {method.name}")


def mean_and_stderr(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over the paths, the first axis; inf where one of them has diverged."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(np.isfinite(values).all(axis=0), values.mean(axis=0), np.inf)
        return mean, values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full_like(
            mean, np.nan
        )


def time_step(t_end, dt, longest, sharpness, share):
    """The given step, or the longest up to ``longest`` and ``share``/``sharpness`` that divides ``t_end``."""
    if dt is None:
        return t_end / max(1, math.ceil(t_end * max(1 / longest, sharpness / share) * (1 - 1e-12)))
    if _check.positive("dt", dt) * sharpness > 1 + 1e-9:
        raise ArgumentError(
            f"dt must be at most {1 / sharpness:.6g}, the inverse of the largest curvature {sharpness:.6g}, "
            f"got {dt:g}: longer steps may blow up where the SDE does not"
        )
    return float(dt)


def thinned(size, most):
    """At most about ``most`` + 1 of the numbers 0 … size − 1, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, most + 1)).round().astype(np.int64))


def traces(sde, x):
    """Tr σσᵀ of an SDE's noise at x (..., dim), shape (...)."""
    flat = x.reshape(-1, sde.dim)
    size = max(1, _HELD // (sde.dim * sde.noise_dim))
    parts = [(sde.diffusion(0.0, flat[i : i + size]) ** 2).sum(axis=(1, 2)) for i in range(0, len(flat), size)]
    return np.concatenate(parts).reshape(x.shape[:-1])
