"""Where SGD ends up, in all views that dynsim has, side by side with the errors of each.

    python scripts/densities.py valleys          AY §2.1, two_valleys(0.4, 0.1, 5), η from 0.32 to 0.01: the chain on
    its
                                                 lattice, Ulam's method, the SDE, AY Lemma 2.1 and 10^8 steps of runs
    python scripts/densities.py muller-brown     AY §4.2, η = 0.002: mass of each basin from the two-dimensional measure
                                                 of the chain, from its SDE, and from runs with two kinds of starts

``--out DIR`` draws there; ``--steps`` is the number of steps of a run, of all its paths together.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import dynsim as ds

SEED = 0
N_PATHS = 1000
LN_10 = np.log(10.0)


def schemes(eta):
    """SGD, RR and Balanced."""
    return {"SGD": ds.SGD(eta), "RR": ds.RR(eta), "Balanced": ds.SGD(eta, sampling=ds.sampling.Balanced())}


def found(make):
    """A law, and what is wrong with it; or None, and why there is none."""
    try:
        return make(), ""
    except ds.errors.Unresolved as error:
        return error.result, "unresolved"
    except ds.errors.NotApplicable as error:
        return None, str(error)


# AY §2.1

VALLEYS = ds.problems.two_valleys(a1=0.4, eps=0.1, K=5.0)
STEP_SIZES = (0.32, 0.16, 0.04, 0.02, 0.01)
SAVED = 100  # states of each path
LIKELY = 1e-9  # mass of states that get a bin of their own
OFTEN = 1e4  # visits from which on the error of a frequency is known


def sharp(theta):
    """The valley of the global minimum, 0.2."""
    return theta[..., 0] > 0


def width(chain):
    """Distance of neighboring states, without the rounding of their difference."""
    return round(float(np.diff(chain.states[:, 0]).min()), 12)


def on_lattice(eta, method):
    """The chain from near 0.25, on a coset without kinks: on a kink, rounding decides what a simulation does."""
    return ds.markov_chain(VALLEYS, method, x0=0.25 + eta / 7)


def one_state_a_cell(method, chain):
    """Ulam's method on cells of the lattice's width with the kinks on faces: then it is the chain."""
    h = width(chain)
    kinks = np.array(VALLEYS.kinks) / h
    if not np.allclose(kinks, np.round(kinks), atol=1e-6):
        return None, "no cells of the lattice's width have all kinks on faces"
    low, high = np.floor(chain.states.min() / h) - 8, np.ceil(chain.states.max() / h) + 8
    n_cells = int(high - low + 3) // 4 * 4
    return found(lambda: ds.invariant_measure(VALLEYS, method, (low * h, (low + n_cells) * h), n_cells))


def views_of(method, chain):
    """All laws of a scheme, with what is wrong with them."""
    sde = ds.sde_limit(VALLEYS, method)
    margin = 16 * method.step_size  # the SDE's law falls off over a few step sizes
    box = (chain.states.min() - margin, chain.states.max() + margin)
    return {
        "Ulam, a cell a state": one_state_a_cell(method, chain),
        "Ulam, 4000 cells": found(lambda: ds.invariant_measure(VALLEYS, method, box, 4000)),
        "SDE, 4000 cells": found(lambda: ds.stationary_density(sde, box, 4000)),
        "AY Lemma 2.1": found(lambda: ds.theory.lemma_2_1(VALLEYS, method, bounds=box, n_cells=4000)),
    }


def leaving(method, chain, steps):
    """Paths from near 0.25: largest deviation of the share in the sharp valley from the exact one, until most left.

    In standard errors √(p(1 − p)/n_paths) of the exact share p, over the saved steps where 5 paths are in each part.
    Returns also the last step, the exact and the simulated share there, and the number of these steps.
    """
    time_there = chain.mean_hitting_time(lambda theta: theta[..., 0] < 0)
    every = max(1, round(min(2 * time_there, steps / N_PATHS) / SAVED))
    start = chain.states[chain.start]
    run = ds.iterate(VALLEYS, method, start, n_steps=SAVED * every, n_paths=N_PATHS, rng=SEED, save_every=every)
    simulated = sharp(run.x).mean(axis=0)
    exact = chain.occupation(sharp, run.t.astype(int))
    told = N_PATHS * np.minimum(exact, 1 - exact) > 5
    deviation = np.abs(simulated - exact)[told] / np.sqrt(exact * (1 - exact) / N_PATHS)[told]
    return deviation.max(initial=0.0), int(run.t[-1]), exact[-1], simulated[-1], int(told.sum())


def staying(method, chain, law, steps):
    """A run from starts drawn from the law of the chain, in bins of one state each; it should not change the law."""
    states = chain.states[:, 0]
    between = 0.5 * (states[1:] + states[:-1])
    edges = np.concatenate([[states[0] - width(chain)], between, [states[-1] + width(chain)]])
    likely = np.flatnonzero(law.mass > LIKELY)
    histogram = ds.observers.Histogram(edges[likely[0] : likely[-1] + 2])
    run = ds.iterate(
        VALLEYS,
        method,
        law.sample(N_PATHS, rng=SEED),
        n_steps=steps // N_PATHS,
        n_paths=N_PATHS,
        rng=SEED + 1,
        save_every=None,
        observe={"states": histogram},
    )
    return run.observed["states"]


def worst_state(counts, law):
    """Largest deviation of a state's frequency in standard errors, and the number of states that were seen often."""
    often = counts.counts > OFTEN
    deviation = np.abs(counts.probability - law.on_bins(*counts.edges))[often] / counts.stderr[often]
    return float(deviation.max()), int(often.sum())


def valleys_of(name, method, chain, steps):
    """Print what is known of one scheme; the comparison and the runs' deviations in standard errors."""
    exact = chain.stationary()
    laws = {f"exact, {len(chain.states)} states": (exact, ""), **views_of(method, chain)}
    counts = staying(method, chain, exact, steps)
    names = {view: law for view, (law, _) in laws.items() if law is not None}
    reference = next(iter(names))
    comparison = ds.compare_densities({**names, "run": counts}, reference=reference)
    deviation = np.sqrt(exact.cov[0, 0])
    for view, (law, note) in laws.items():
        row = f"{name if law is exact else '':9} {view:21}"
        if law is None:
            print(f"{row} none: {note.split(':')[0]}")
            continue
        log_mass, change = law.log_probability(sharp) / LN_10, law.log_error(sharp) / LN_10
        distance = 0.0 if law is exact else comparison[view, reference].wasserstein.value / deviation
        row += f" {log_mass:9.3f} {change:7.3f} {law.mean[0]:9.5f} {np.sqrt(law.cov[0, 0]):9.5f} {distance:8.4f}"
        print(f"{row}  {note}")
    run = comparison["run", reference]
    worst, often = worst_state(counts, exact)
    worst_share, last, share, simulated, n_told = leaving(method, chain, steps)
    chance = run.wasserstein.by_chance / deviation
    print(f"{'':9} {'run':21} {'':37} {run.wasserstein.value / deviation:8.4f}  by chance up to {chance:.4f}")
    print(
        f"{'':9} run: of {often} states the one farthest off by {worst:.1f} SE; from 0.25, in the sharp valley after "
        f"{last} steps:\n{'':9} exact {share:.4g}, run {simulated:.4g}; at {n_told} times farthest off by "
        f"{worst_share:.1f} SE"
    )
    return comparison, {"states": worst, "leaving": worst_share}


def valleys(steps, out):
    """AY §2.1: the tables of all views at several step sizes."""
    print("mass of the sharp valley ~ exp(−V/η) as η → 0 (negative: exp(V/η) of the other's)")
    for name, method in schemes(1.0).items():
        both = ds.large_deviations(VALLEYS, method)
        chain, sde = (float(side.weights[1] - side.weights[0]) for side in (both.chain, both.sde))
        print(f"    {name:9} V = {chain:8.4f} for the chain, {sde:8.4f} for the SDE")
    for eta in STEP_SIZES:
        print(f"\nη = {eta:g}")
        print(f"{'':31} {'log10':>9} {'half':>7} {'':>9} {'':>9} {'W1 from':>8}")
        print(f"{'scheme':9} {'view':21} {'mass':>9} {'cells':>7} {'mean':>9} {'deviation':>9} {'exact':>8}")
        for name, method in schemes(eta).items():
            comparison, _ = valleys_of(name, method, on_lattice(eta, method), steps)
            if out is not None:
                comparison.draw().savefig(out / f"densities-valleys-{name.lower()}-{eta:g}.png", dpi=110)
    kinks()


def kinks():
    """SGD from exactly 0.2, a kink: what the chain in exact arithmetic and one in floating point do."""
    method = ds.SGD(0.04)
    chain = ds.markov_chain(VALLEYS, method, x0=0.2)
    run = ds.iterate(VALLEYS, method, 0.2, n_steps=200, n_paths=100_000, rng=SEED, save_every=50)
    exact, share = chain.occupation(sharp, run.t.astype(int)), sharp(run.x).mean(axis=0)
    print(f"\nSGD from 0.2, a kink, η = 0.04: {chain.on_kinks.size} of {len(chain.states)} states are on kinks")
    for k in range(1, len(share)):
        error = np.sqrt(exact[k] * (1 - exact[k]) / run.n_paths)
        print(f"    there after {run.t[k]:.0f} steps: exact {exact[k]:.4f}, run {share[k]:.4f} ± {error:.4f}")


# AY §4.2

MULLER_BROWN = ds.problems.muller_brown()
BOXES = {"SGD": ((-2.0, 1.6), (-1.1, 2.6)), "RR": ((-1.15, 1.15), (-0.4, 1.85))}  # from which next to nothing leaks
RASTER = 128  # cells along each axis at whose centers the basin is looked up


def centers(box, n):
    """Edges of n cells along each axis, and their centers (n, n, 2)."""
    edges = [np.linspace(low, high, n + 1) for low, high in box]
    return edges, np.stack(np.meshgrid(*[0.5 * (e[1:] + e[:-1]) for e in edges], indexing="ij"), axis=-1)


def basin_masses(law, edges, basin):
    """Mass of the basin of each minimum."""
    mass = law.on_bins(*edges)
    return np.array([mass[basin == j].sum() for j in range(basin.max() + 1)])


def extrapolated(law, edges, basin):
    """Masses for h → 0 from cells h, 2h, 4h, of second order, and how far they are from h's, and 2h and 4h's."""
    fine, middle, coarse = (basin_masses(part, edges, basin) for part in (law, law.coarser, law.coarser.coarser))
    limit, before = fine + (fine - middle) / 3, middle + (middle - coarse) / 3
    return limit, np.maximum(np.abs(limit - before), np.abs(limit - fine)), (coarse, middle, fine)


def simulated_masses(method, starts, edges, basin, steps, burn_in):
    """Frequencies of the basins, and their standard errors from 32 groups of paths."""
    n_steps = steps // len(starts)
    histogram = ds.observers.Histogram2D(tuple(edges), burn_in=burn_in)
    run = ds.iterate(
        MULLER_BROWN,
        method,
        starts,
        n_steps=n_steps + burn_in,
        n_paths=len(starts),
        rng=SEED,
        save_every=None,
        observe={"bins": histogram},
    )
    counts = run.observed["bins"]
    parts = counts.groups[:, : basin.size].reshape(len(counts.groups), -1)
    sizes = counts.groups.sum(axis=1)
    shares = np.stack([parts[:, basin.ravel() == j].sum(axis=1) / sizes for j in range(basin.max() + 1)])
    return shares.mean(axis=1), shares.std(axis=1, ddof=1) / np.sqrt(shares.shape[1]), counts


def muller_brown(steps, out, n_cells=512):
    """AY §4.2: the tables of both schemes."""
    for name, method in list(schemes(0.002).items())[:2]:
        muller_brown_of(name, method, steps * (10 if name == "RR" else 1), out, n_cells)


def muller_brown_of(name, method, steps, out, n_cells):
    """Print the masses of the basins in all views; the deviations between measure and runs in combined errors."""
    box = BOXES[name]
    points = ds.minima(MULLER_BROWN)
    edges, middles = centers(box, RASTER)
    basin = points.basin(middles)
    shown = ", ".join(f"({x:.3f}, {y:.3f})" for x, y in points.minima)
    print(f"\n{name} on {MULLER_BROWN.name}, step size 0.002, basins of {shown}")
    print(f"{'':34} " + " ".join(f"{'mass':>9} {'±':>8}" for _ in points.minima))

    def row(view, masses, errors, note=""):
        print(f"{view:34} " + " ".join(f"{m:9.5f} {e:8.5f}" for m, e in zip(masses, errors, strict=True)) + f"  {note}")

    begun = time.perf_counter()
    measure, note = found(lambda: ds.invariant_measure(MULLER_BROWN, method, box, n_cells))
    limit, error, levels = extrapolated(measure, edges, basin)
    leak = measure.details["leak"]
    for k, masses in enumerate(levels):
        row(f"Ulam, {n_cells >> (2 - k)}²", masses, np.abs(masses - limit))
    row("Ulam, h → 0", limit, error, f"leak {leak:.0e} a step, {time.perf_counter() - begun:.0f} s {note}")
    sde, note = found(lambda: ds.stationary_density(ds.sde_limit(MULLER_BROWN, method), box, n_cells // 2))
    masses = basin_masses(sde, edges, basin)
    row(f"SDE, {n_cells // 2}²", masses, np.abs(masses - basin_masses(sde.coarser, edges, basin)), note)
    spread = np.repeat(points.minima, N_PATHS // 3 + 1, axis=0)[:N_PATHS]
    starts = {"from all minima": spread, "from the measure": measure.sample(N_PATHS, rng=SEED)}
    deviations = {}
    laws = {"Ulam": measure, "SDE": sde}
    for start, points_of_start in starts.items():
        begun = time.perf_counter()
        burn_in = steps // (2 * N_PATHS) if start == "from all minima" else 0
        masses, errors, laws["run"] = simulated_masses(method, points_of_start, edges, basin, steps, burn_in)
        row(f"{steps:.0e} steps {start}", masses, errors, f"{time.perf_counter() - begun:.0f} s")
        deviations[start] = np.abs(masses - limit) / np.hypot(errors, error)
        print(f"{'  off by combined errors':34} " + " ".join(f"{d:9.1f} {'':8}" for d in deviations[start]))
    if out is not None:
        ds.compare_densities(laws).draw().savefig(out / f"densities-muller-brown-{name.lower()}.png", dpi=110)
    return limit, error, deviations


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["valleys", "muller-brown"])
    parser.add_argument("--steps", type=int, default=100_000_000, help="of a run, all paths together (default: 10^8)")
    parser.add_argument("--out", type=Path, help="a folder for pictures")
    arguments = parser.parse_args()
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    {"valleys": valleys, "muller-brown": muller_brown}[arguments.part](arguments.steps, arguments.out)


if __name__ == "__main__":
    main()
