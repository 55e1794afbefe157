"""Critical step sizes: dynsim beside what one writes without it, each in a process of its own, which tells its memory.

The peers are a dense `eigh` of the pencil (mean H_n², H) for the one-step criterion, and for mean squares the matrix of
d² × d² that takes S to E[(I − ηH_n) S (I − ηH_n)], whose spectral radius is bisected.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from density import _measured

LIMIT = 600.0  # seconds for one process
FILLED = 10  # entries in a sparse row
SIZES = {
    "one-step SGD, dense": [(1_000, 10), (100_000, 10), (10_000, 100), (10_000, 1_000)],
    "one-step SGD, peer": [(1_000, 10), (100_000, 10), (10_000, 100), (10_000, 1_000)],
    "one-step RR, dense": [(1_000, 3), (1_000, 10), (100_000, 10), (10_000, 100)],
    "mean-square SGD, dense": [(1_000, 5), (1_000, 10), (1_000, 20), (1_000, 50)],
    "mean-square SGD, peer": [(1_000, 5), (1_000, 10), (1_000, 20)],
    "one-step SGD, sparse": [(100_000, 1_000), (1_000_000, 10_000)],
    "deterministic, sparse": [(100_000, 1_000), (1_000_000, 10_000)],
    "one-step RR, sparse": [(100_000, 1_000), (1_000_000, 10_000)],
    "mean-square SGD, sparse": [(100_000, 1_000), (1_000_000, 10_000)],
}


def dense_rows(n, d):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)) * rng.exponential(size=(n, 1))


def sparse_rows(n, d):
    from scipy import sparse

    rng = np.random.default_rng(0)
    places = (np.repeat(np.arange(n), FILLED), rng.integers(d, size=n * FILLED))
    return sparse.csr_array((rng.normal(size=n * FILLED), places), shape=(n, d))


def one_step_peer(X):
    from scipy.linalg import eigh

    n = len(X)
    second = (X * (X * X).sum(axis=1)[:, None]).T @ X / n
    least = 2 / eigh(second, X.T @ X / n, eigvals_only=True)[-1]
    return least, least


def mean_square_peer(X, rounds=40):
    n, d = X.shape
    H, eye = X.T @ X / n, np.eye(d)
    pairs = (X[:, :, None] * X[:, None, :]).reshape(n, d * d)
    first, second = np.kron(H, eye) + np.kron(eye, H), pairs.T @ pairs / n
    low, high = 0.0, 2 / np.linalg.eigvalsh(H)[-1]
    for _ in range(rounds):
        eta = 0.5 * (low + high)
        radius = np.abs(np.linalg.eigvals(np.eye(d * d) - eta * first + eta**2 * second)).max()
        low, high = (eta, high) if radius < 1 else (low, eta)
    return low, high


def contestant(name, n, d):
    """What a run took and found; called in a process of its own."""
    import dynsim as ds

    task, form = name.split(", ")
    rows = sparse_rows if form == "sparse" else dense_rows

    def run(X):
        if form == "peer":
            return (one_step_peer if task.startswith("one-step") else mean_square_peer)(X)
        method = ds.RR(0.1) if task.endswith("RR") else ds.SGD(0.1)
        terms = ds.stability.terms(gradients=X)
        if form == "sparse":
            from dynsim.stability import matrix_free
            from dynsim.stability.dynamics import Draws

            return matrix_free.bounds(terms, Draws.of(terms, method), task.split()[0])[:2]
        found = ds.step_size_range(terms, method, criterion=task.split()[0])
        return found.lower, found.upper

    run(rows(60, 3))  # loads what it needs
    X = rows(n, d)
    seconds, memory, (lower, upper) = _measured(lambda: run(X))
    return {"seconds": seconds, "memory": memory, "lower": float(lower), "upper": float(upper)}


def _in_process(*arguments):
    """What a process of its own reports, or a line on how it failed."""
    command = [sys.executable, str(Path(__file__)), *map(str, arguments)]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"not within {time.perf_counter() - began:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def stability(rounds):
    title = f"critical step sizes; sparse rows have {FILLED} entries"
    print(f"\n{title:40}{'n':>10}{'d':>8}{'s':>9}{'MiB':>8}{'η* from':>13}{'to':>13}")
    for name, sizes in SIZES.items():
        for n, d in sizes:
            reports = [_in_process(name, n, d)]
            while len(reports) < rounds and isinstance(reports[0], dict) and reports[0]["seconds"] < 1:
                reports.append(_in_process(name, n, d))
            found = min((r for r in reports if isinstance(r, dict)), key=lambda r: r["seconds"], default=reports[0])
            shown = (
                f"{found['seconds']:9.3f}{found['memory']:8.0f}{found['lower']:13.6g}{found['upper']:13.6g}"
                if isinstance(found, dict)
                else f"  {found}"
            )
            print(f"{name:40}{n:10}{d:8}{shown}", flush=True)


if __name__ == "__main__":
    print(json.dumps(contestant(sys.argv[1], *map(int, sys.argv[2:]))))
