"""Gradient descent beyond the edge of stability: Z Fig 6-5, with what holds and what does not.

L(θ) = 100 sin θ1 sin θ2 and θ → θ − η∇L(θ). In u = θ1 + θ2 and w = θ1 − θ2 − π both follow x → x − a sin x, a = 100η,
L = −50 (cos u + cos w) and ‖∇L‖² = 5000 (sin² u + sin² w). So everything is known from one variable: that is one
method; runs of the two-dimensional descent are the other.

    python analysis/edge_of_stability.py [--quick] [--output edge_of_stability.png]
"""

import argparse
import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import brentq

import dynsim as ds

AMPLITUDE = 100.0
CYCLES = (0.025, 0.03, 0.033)
CHAOS = 0.04
N_CLASSES = 6  # of the 12 bands of x → x − 4 sin x, up to sign
_ROUNDING = 1e-9  # of what has converged
_STDERRS = 5
_SETTLED = 10  # rounds of the bands after which starts spread evenly over a band follow the invariant measure


@dataclass(frozen=True)
class Claim:
    """A statement with the number expected and the number measured; ``holds`` is False for one that is refuted."""

    statement: str
    expected: float
    measured: float
    error: float
    by_paper: bool = False

    @property
    def holds(self):
        """Whether the two agree within five combined standard errors."""
        return abs(self.measured - self.expected) <= _STDERRS * self.error

    @property
    def verdict(self):
        """The paper's claims are false or hold, ours agree or do not."""
        if self.by_paper:
            return "holds" if self.holds else "FALSE, as printed"
        return "agrees" if self.holds else "DISAGREES"


def descent(eta):
    """Gradient descent as a map of the torus."""
    return ds.dynamics.descent(ds.problems.egg_carton(AMPLITUDE), ds.SGD(eta), modulo=2 * math.pi)


def theta(u, w):
    """(u, w) -> (θ1, θ2)."""
    return np.stack([(u + w + math.pi) / 2, (u - w - math.pi) / 2], axis=-1)


def gradient_norm(x):
    """‖∇L(θ)‖ for θ (..., 2)."""
    return np.linalg.norm(ds.problems.egg_carton(AMPLITUDE).gradient(x), axis=-1)


def loss(x):
    """L(θ) for θ (..., 2)."""
    return ds.problems.egg_carton(AMPLITUDE).loss(x)


def cycle(a):
    """The 2-cycle (x, x') of x → x − a sin x with x > 0: x' = −x for 2 < a < π, x' = x − π for π < a < √(π² + 2)."""
    if a < math.pi:
        x = brentq(lambda x: 2 * x - a * math.sin(x), 1e-3, math.pi / 2)
        return x, -x
    x = math.asin(math.pi / a)
    return x, x - math.pi


def attractors(a):
    """Which 2-cycles of θ there are: what their starts have in common, a start, the exact losses and gradient norm.

    For a < π: u and w of one sign (θ2 rests) or of opposite signs (θ1 rests). For a > π the cycle of x and x − π has a
    mirror image, and u and w may be on the same one or not; where both are at a point with cos > 0 at the same time the
    loss alternates, else it is 0 all the time.
    """
    x, other = cycle(a)
    norm = AMPLITUDE * abs(math.sin(x))
    if a < math.pi:
        level = -AMPLITUDE * math.cos(x)
        return [
            ("u w > 0, θ2 rests", theta(0.9 * x, 0.8 * x), (level, level), norm),
            ("u w < 0, θ1 rests", theta(0.9 * x, -0.8 * x), (level, level), norm),
        ]
    swing = AMPLITUDE * math.cos(x)
    near = np.array([0.99, 1.01]) * x
    return [
        ("one cycle, in step", theta(*near), (-swing, swing), norm),
        ("one cycle, opposite", theta(near[0], 1.01 * other), (0.0, 0.0), norm),
        ("mirrored, cos u cos w > 0", theta(near[0], -near[1]), (-swing, swing), norm),
        ("mirrored, cos u cos w < 0", theta(near[0], -1.01 * other), (0.0, 0.0), norm),
    ]


def fixed_point(n_steps=60):
    """η = 0.01: a = 1, where the multiplier 1 − a of the minimum is 0."""
    F = descent(0.01)
    end = ds.iterate(ds.problems.egg_carton(AMPLITUDE), ds.SGD(0.01), x0=[1.0, -0.4], n_steps=n_steps).x[0, -1]
    multiplier = abs(ds.dynamics.floquet_multipliers(F, [end])[0])
    return [
        Claim("η = 0.01: loss at the end is the minimum", -AMPLITUDE, float(loss(end)), _ROUNDING),
        Claim("η = 0.01: gradient norm at the end", 0.0, float(gradient_norm(end)), _ROUNDING),
        Claim("η = 0.01: largest multiplier, 1 − 100η", 0.0, float(multiplier), _ROUNDING),
    ]


def cycles(eta, n_steps=600):
    """η = 0.025, 0.03, 0.033: every attractor is a 2-cycle, whose losses and gradient norms are known exactly."""
    a, F = AMPLITUDE * eta, descent(eta)
    x, other = cycle(a)
    exponent = 0.5 * math.log(abs((1 - a * math.cos(x)) * (1 - a * math.cos(other))))
    claims = []
    for name, start, losses, norm in attractors(a):
        orbit = ds.dynamics.orbit(F, start, n_steps)
        pair, label = orbit.x[0, -2:], f"η = {eta:g}, {name}:"
        low, high = np.sort(loss(pair)).tolist()
        multiplier = abs(ds.dynamics.floquet_multipliers(F, pair)[0])
        claims += [
            Claim(f"{label} period", 2, int(orbit.period(most=8)[0]), 0),
            Claim(f"{label} lower loss", losses[0], low, _ROUNDING),
            Claim(f"{label} higher loss", losses[1], high, _ROUNDING),
            Claim(f"{label} gradient norm", norm, float(gradient_norm(pair).mean()), _ROUNDING),
            Claim(f"{label} Lyapunov exponent", exponent, float(0.5 * np.log(multiplier)), 1e-6),
        ]
    return claims


def bands(a=AMPLITUDE * CHAOS, n=N_CLASSES):
    """The intervals (n, 2) that |x| visits in turn, between the k-th and the (k + n)-th image of the critical point.

    ``|x − a sin x|`` maps each onto the next, and the last, which holds the critical point, onto the first.
    """
    images = [math.acos(1 / a)]
    for _ in range(2 * n):
        images.append(abs(images[-1] - a * math.sin(images[-1])))
    return np.sort(np.array([images[1 : n + 1], images[n + 1 :]]).T, axis=1)


def band_measure(n_cells, a=AMPLITUDE * CHAOS):
    """The invariant measure of ``|x − a sin x|`` by Ulam's method on its bands: x and masses, both (n_bands, n_cells).

    A grid over all x does not resolve bands that are 1e-4 wide: noise of the size of its cells would leave them.
    """
    intervals = bands(a)
    share = 0.5 * (1 - np.cos(math.pi * np.arange(n_cells + 1) / n_cells))  # densities are like 1/√distance at ends
    edges = intervals[:, :1] + np.diff(intervals, axis=1) * share
    edges[-1, np.abs(edges[-1] - math.acos(1 / a)).argmin()] = math.acos(1 / a)
    steps = [_step(edges[k], edges[(k + 1) % N_CLASSES], a) for k in range(N_CLASSES)]
    mass = np.full(n_cells, 1 / n_cells)
    for _ in range(1000):
        previous = mass
        for step in steps:
            mass = mass @ step
        mass /= mass.sum()
        if np.abs(mass - previous).sum() < 1e-13:
            break
    masses = [mass]
    for step in steps[:-1]:
        masses.append(masses[-1] @ step)
    return (edges[:, 1:] + edges[:, :-1]) / 2, np.array(masses)


def _step(start, end, a):
    """Shares of the image of each cell between ``start`` that lie in the cells between ``end``: F is monotone there."""
    images = np.clip(np.abs(start - a * np.sin(start)), end[0], end[-1])
    low, high = np.minimum(images[:-1], images[1:]), np.maximum(images[:-1], images[1:])
    last = start.size - 2
    first = np.clip(np.searchsorted(end, low, side="right") - 1, 0, last)
    count = np.clip(np.searchsorted(end, high, side="left") - 1, first, last) - first + 1
    row = np.repeat(np.arange(last + 1), count)
    column = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count) + first[row]
    overlap = np.minimum(high[row], end[column + 1]) - np.maximum(low[row], end[column])
    width = np.maximum(high - low, np.finfo(float).tiny)
    return sparse.csr_array((np.maximum(overlap, 0) / width[row], (row, column)), shape=(last + 1, last + 1))


def from_one_variable(n_cells, a=AMPLITUDE * CHAOS):
    """Average loss, Lyapunov exponent and the average gradient norms for bands of w behind those of u by 0, 1, 2, 3."""
    x, mass = band_measure(n_cells, a)
    square = 0.5 * AMPLITUDE**2 * np.sin(x) ** 2
    norms = []
    for shift in range(4):
        behind = np.roll(np.arange(N_CLASSES), -shift)
        each = [
            mass[k] @ np.sqrt(square[k][:, None] + square[j]) @ mass[j]
            for k, j in zip(range(N_CLASSES), behind, strict=True)
        ]
        norms.append(np.mean(each))
    average = mass / N_CLASSES
    exponent = (average * np.log(np.abs(1 - a * np.cos(x)))).sum()
    return np.array([-AMPLITUDE * (average * np.cos(x)).sum(), exponent, *norms])


def chaotic_starts(shift, n_paths, seed=0):
    """Points θ (n_paths, 2) on the attractor where w is in the band that u will be in after ``shift`` steps."""
    rng = np.random.default_rng([seed, shift])
    u, w = rng.uniform(*bands()[-1], size=(2, n_paths))
    for _ in range(shift):
        w = w - AMPLITUDE * CHAOS * np.sin(w)
    return theta(u, w)


def chaos(*, n_paths=16, n_steps=12_000, n_cells=800):
    """η = 0.04: long-run averages, exponents and bands by two methods each, and the paper's claim.

    Runs are averaged over whole rounds of the 12 bands: all paths go round in step, so that a part of a round would
    shift their common average.
    """
    levels = np.array([from_one_variable(n) for n in (n_cells // 4, n_cells // 2, n_cells)])
    exact, gaps = levels[-1], np.ptp(levels, axis=0) / 2  # refinement: 5 halves of it bound what agrees
    problem, method, F = ds.problems.egg_carton(AMPLITUDE), ds.SGD(CHAOS), descent(CHAOS)
    claims = []
    for shift in range(4):
        path = ds.iterate(problem, method, x0=chaotic_starts(shift, n_paths), n_steps=n_steps, n_paths=n_paths, rng=0)
        rounds = path.x[:, 1:].reshape(n_paths, -1, 2 * N_CLASSES, 2)[:, _SETTLED:]
        values = {"loss": loss(rounds).mean(axis=2), "norm": gradient_norm(rounds).mean(axis=2)}
        found = {name: ds.time_average(each[..., None], burn_in=0.0) for name, each in values.items()}
        label = f"η = 0.04, w {shift} bands ahead: average"
        for name, number in (("loss", 0), ("norm", 2 + shift)):
            what = "loss" if name == "loss" else "gradient norm"
            error = math.hypot(found[name].stderr.item(), gaps[number])
            claims.append(Claim(f"{label} {what}", exact[number], found[name].value.item(), error))
    spectrum = ds.dynamics.lyapunov_exponents(
        F, chaotic_starts(1, n_paths), n_steps=n_steps // 2, burn_in=120, every=2 * N_CLASSES
    )
    exponent, error = spectrum.sum / 2, spectrum.sum_stderr / 2  # of u and of w, which are equal
    claims.append(Claim("η = 0.04: Lyapunov exponents", exact[1], exponent, math.hypot(error, gaps[1])))
    orbit = ds.dynamics.orbit(F, chaotic_starts(1, 1), 12_000)
    intervals = bands()[np.argsort(bands()[:, 0])]
    distinct = 2 * int(np.count_nonzero(intervals[1:, 0] > intervals[:-1, 1]) + 1)  # x and −x
    claims.append(Claim("η = 0.04: bands", distinct, int(orbit.bands()[0]), 0))
    periodic = Claim("Z §6.3: at η = 0.04 iterates are periodic, λ ≤ 0", 0.0, exponent, error, by_paper=True)
    seen = Claim("Z §6.3: a period of at most 64 is seen", 1, int(orbit.period()[0] > 0), 0, True)
    return [*claims, periodic, seen]


def all_claims(*, quick=False):
    """Every claim of the study; the quick form takes seconds."""
    claims = fixed_point()
    for eta in CYCLES:
        claims += cycles(eta)
    return claims + (chaos(n_steps=2400, n_cells=400) if quick else chaos())


def draw(output, *, quick=False):
    """Z Fig 6-5: iterates, loss and gradient norm with their averages over time; below, all step sizes."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 12), layout="constrained")
    grid = figure.add_gridspec(4, 3)
    problem, n = ds.problems.egg_carton(AMPLITUDE), 2000
    for row, eta in enumerate((0.01, 0.033, CHAOS)):
        x = ds.iterate(problem, ds.SGD(eta), x0=[1.0, -0.4], n_steps=n).x[0]
        ax = figure.add_subplot(grid[row, 0])
        ax.scatter(*x.T, c=np.arange(n + 1), s=4, cmap="viridis")
        ax.set(xlabel="θ1", ylabel="θ2", title=f"η = {eta:g}")
        for column, (values, name) in enumerate(((loss(x), "loss"), (gradient_norm(x), "gradient norm")), start=1):
            ax = figure.add_subplot(grid[row, column])
            ax.plot(values, ".", markersize=1.5, color="#BBBBBB", label=name)
            ax.plot(np.cumsum(values) / np.arange(1, n + 2), color="#D55E00", label="average so far")
            ax.set(xlabel="step", ylabel=name)
            ax.legend(fontsize="small", loc="upper right")
    etas = np.linspace(0.015, 0.042, 120 if quick else 800)
    found = ds.dynamics.bifurcation(descent, etas, x0=[[1.0, -0.4], [0.5, -1.8]], burn_in=1000, n_kept=256)
    found.plot(figure.add_subplot(grid[3, :]))
    figure.savefig(output, dpi=150)
    plt.close(figure)


def main():
    """Print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter runs, in seconds")
    parser.add_argument("--output", help="file for the figure; none is drawn by default")
    options = parser.parse_args()
    claims = all_claims(quick=options.quick)
    width = max(len(claim.statement) for claim in claims)
    print(f"{'claim':{width}}  {'expected':>12}  {'measured':>12}  {'error':>8}  verdict")
    for c in claims:
        print(f"{c.statement:{width}}  {c.expected:12.6f}  {c.measured:12.6f}  {c.error:8.1e}  {c.verdict}")
    if options.output:
        draw(options.output, quick=options.quick)
    return int(any(not claim.holds and not claim.by_paper for claim in claims))


if __name__ == "__main__":
    raise SystemExit(main())
