"""Stationary densities: dynsim beside fplanck and py-pde, each in a process of its own, which tells its memory.

dX = (−∇V + J∇V) dt + dW on [−2.5, 2.5]², V = (x² − 1)² + y², J the turn by 90°. It has no detailed balance, and the
stationary density ∝ exp(−2V): with a potential alone fplanck would be told the answer.
"""

import contextlib
import importlib.util
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

CAP = 120.0  # seconds of processor time for one run
PATIENCE = 400.0  # seconds for its process, which compiles as well
ONCE = 5.0  # what takes longer is run in the first round only
HALF = 2.5
MODULES = {"dynsim": "dynsim", "fplanck": "fplanck", "py-pde": "pde"}
CELLS = (128, 256, 512)


def force(x, y):
    along_x, along_y = 4 * x * (x * x - 1), 2 * y
    return -along_x - along_y, -along_y + along_x


def exact_masses(n):
    """Masses of the cells, by 4 × 4 Gauss points in each, and ⟨x²⟩."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    h = 2 * HALF / n
    points = (-HALF + h * (np.arange(n) + 0.5))[:, None] + 0.5 * h * nodes
    along_x = (np.exp(-2 * (points * points - 1) ** 2) * weights).sum(axis=1)
    along_y = (np.exp(-2 * points * points) * weights).sum(axis=1)
    mass = np.outer(along_x, along_y)
    second = (points**2 * np.exp(-2 * (points * points - 1) ** 2) * weights).sum() / along_x.sum()
    return mass / mass.sum(), second


def with_dynsim(n):
    import dynsim as ds

    def drift(t, x):
        along_x, along_y = 4 * x[0] * (x[0] * x[0] - 1), 2 * x[1]
        return -along_x - along_y, -along_y + along_x

    sde = ds.SDE(drift, lambda t, x: (1.0, 1.0), dim=2)

    def run():
        return ds.stationary_density(sde, [(-HALF, HALF)] * 2, n).mass.reshape(n, n)

    return run


def with_fplanck(n):
    """Its diffusion is k_B T/drag, which 1/2 makes that of σ = 1."""
    if not hasattr(np, "product"):
        setattr(np, "product", np.prod)  # noqa: B010 - which it needs, and NumPy 2 has not
    import fplanck
    from scipy import constants

    h = 2 * HALF / n

    def run():
        process = fplanck.fokker_planck(
            temperature=0.5 / constants.k,
            drag=1.0,
            extent=[2 * HALF] * 2,
            resolution=h * (1 + 1e-12),
            force=lambda x, y: np.array(force(x, y)),
        )
        return process.steady_state()

    return run


def with_pde(n):
    """It has no stationary solver: in time until t = 2, where the error no longer falls, from a Gaussian.

    The start is symmetric, so that the slow passage between the wells plays no part, and Euler's step about the largest
    that is stable: below h²/(4·½) for the noise and 1/|force|² in the corners.
    """
    from pde import PDE, CartesianGrid, ScalarField

    h = 2 * HALF / n
    grid = CartesianGrid([[-HALF, HALF]] * 2, n)
    x, y = grid.cell_coords[..., 0], grid.cell_coords[..., 1]
    fields = dict(zip(("fx", "fy"), (ScalarField(grid, f) for f in force(x, y)), strict=True))
    equation = PDE({"p": "0.5 * laplace(p) - d_dx(fx * p) - d_dy(fy * p)"}, bc={"value": 0}, consts=fields)
    start = ScalarField(grid, np.exp(-(x * x + y * y)))
    step = min(0.4 * h * h, 0.9 / float(np.max(np.sum(np.square(force(x, y)), axis=0))))

    def run(duration=2.0):
        p = equation.solve(start, duration, dt=step, tracker=None, solver="euler", backend="numpy").data
        return p / p.sum()

    run(step)  # compiles
    return run


MAKERS = {"dynsim": with_dynsim, "fplanck": with_fplanck, "py-pde": with_pde}


def _memory(which):
    """MiB that this process holds ("VmRSS") or held at most ("VmHWM"); ru_maxrss counts its parent's as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) / 1024
    return math.nan


def _measured(run):
    """Seconds of processor time of a run, MiB above what the process began it with, and what came out."""
    if not Path("/proc/self/status").exists():  # not Linux
        began = time.process_time()
        result = run()
        return time.process_time() - began, math.nan, result
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    held, began = _memory("VmRSS"), time.process_time()
    result = run()
    seconds = time.process_time() - began
    return seconds, _memory("VmHWM") - held, result


def contestant(name, n):
    """What a run took, and its errors; called in a process of its own."""
    if name == "dynsim":
        with_dynsim(32)()  # loads the kernels
    elif name == "fplanck":
        with_fplanck(16)()
    run = MAKERS[name](n)
    seconds, memory, mass = _measured(run)
    exact, exact_second = exact_masses(n)
    x = -HALF + 2 * HALF / n * (np.arange(n) + 0.5)
    return {
        "seconds": seconds,
        "memory": memory,
        "variation": float(0.5 * np.abs(mass - exact).sum()),
        "second": float(abs(mass.sum(axis=1) @ x**2 - exact_second)),
        "least": float(mass.min()),
    }


def beyond(name):
    """What one of dynsim's larger tasks took, which the peers cannot do, and what came out."""
    import dynsim as ds

    a = np.array([[1.0, 1.5, 0.0], [-1.5, 1.0, 0.5], [0.0, 0.0, 1.0]])  # rotating
    sigma = np.array([[1.0, 0.0, 0.0], [0.4, 0.9, 0.0], [0.3, -0.2, 0.8]])
    turning = ds.sdes.ornstein_uhlenbeck(a, sigma)
    wells = ds.SDE(
        lambda t, x: (-4 * x[0] * (x[0] * x[0] - 1), -4 * x[1] * (x[1] * x[1] - 1), -4 * x[2] * (x[2] * x[2] - 1)),
        lambda t, x: (1.0, 1.0, 1.0),
        dim=3,
    )
    tasks = {
        "3-D double wells, 64³": lambda n: ds.stationary_density(wells, [(-2.2, 2.2)] * 3, n),
        "3-D rotating OU, full tensor, 64³": lambda n: ds.stationary_density(turning, [(-4.0, 4.0)] * 3, n),
        "Ulam, SGD on Müller–Brown, 256²": lambda n: ds.invariant_measure(
            ds.problems.muller_brown(), ds.SGD(0.002), [(-2.2, 1.9), (-1.1, 2.8)], 4 * n
        ),
    }
    with contextlib.suppress(ds.errors.Unresolved):  # so few cells; it only loads the kernels
        tasks[name](16)
    seconds, memory, result = _measured(lambda: tasks[name](64))
    return {"seconds": seconds, "memory": memory, "result": repr(result)}


BEYOND = ("3-D double wells, 64³", "3-D rotating OU, full tensor, 64³", "Ulam, SGD on Müller–Brown, 256²")


def _in_process(*arguments, limit):
    """What a process of its own reports; None where it takes longer, or a line on how it failed."""
    command = [sys.executable, __file__, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def _best(results):
    """The quickest of some reports."""
    reports = [r for r in results if isinstance(r, dict)]
    return min(reports, key=lambda r: r["seconds"]) if reports else results[0]


def _row(best, ours):
    if isinstance(best, str):
        return f"  {best}"
    if best is None:
        return f"  not within {PATIENCE:.0f} s, compilation included"
    if best["seconds"] > CAP:
        return f"{f'> {CAP:.0f}':>9}{f'> {CAP / ours:.0f}':>9}"
    numbers = f"{best['seconds']:9.2f}{best['seconds'] / ours:9.1f}{best['memory']:8.0f}"
    return f"{numbers}{best['variation']:11.1e}{best['second']:12.1e}{best['least']:12.1e}"


def density(rounds):
    title = "double well in 2-D, one core"
    print(f"\n{title:40}{'s':>9}{'ratio':>9}{'MiB':>8}{'TV error':>11}{'⟨x²⟩ error':>12}{'least mass':>12}")
    for n in CELLS:
        found = {name: [] for name in MODULES if importlib.util.find_spec(MODULES[name])}
        for turn in range(rounds):
            for name, results in found.items():
                if turn == 0 or (isinstance(results[0], dict) and results[0]["seconds"] < ONCE):
                    results.append(_in_process(name, n, limit=PATIENCE))
        ours = _best(found["dynsim"])
        if not isinstance(ours, dict):
            raise SystemExit(f"dynsim, {n}²: {ours or 'it takes too long'}")
        ours = ours["seconds"]
        for name, results in found.items():
            print(f"{f'{name}, {n}²':40}{_row(_best(results), ours)}", flush=True)
    for name in set(MODULES) - set(found):
        print(f"{name}: not installed, skipped")
    print(f"\n{'what only dynsim does':40}{'s':>9}{'MiB':>17}")
    for name in BEYOND:
        best = _best([_in_process(name, limit=PATIENCE) for _ in range(min(rounds, 2))])
        shown = (
            f"{best['seconds']:9.2f}{best['memory']:17.0f}  {best['result']}" if isinstance(best, dict) else f"  {best}"
        )
        print(f"{name:40}{shown}", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    print(json.dumps(beyond(words[0]) if words[0] in BEYOND else contestant(words[0], int(words[1]))))
