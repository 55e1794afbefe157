"""How contestants are timed and tabled."""

import importlib.util
import math
import os
import platform
import shutil
import time

import numba
import numpy as np


def best_costs(contestants, rounds):
    """Nanoseconds per path-step of each, best of some rounds."""
    runs = {}
    for name, (make, n_paths, n_steps) in contestants.items():
        module = name.split(",")[0]
        if module in {"diffrax", "torchsde", "sdeint"} and importlib.util.find_spec(module) is None:
            print(f"{name}: not installed, skipped")
        elif module == "C++" and shutil.which("g++") is None:
            print("C++: there is no g++, skipped")
        else:
            runs[name] = (make(n_paths, n_steps), n_paths * n_steps)
            runs[name][0]()  # compiles
    best = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, (run, path_steps) in runs.items():
            began = time.perf_counter()
            told = run()
            seconds = told if isinstance(told, float) else time.perf_counter() - began
            best[name] = min(best[name], seconds / path_steps * 1e9)
    return best


def table(title, costs, reference=None, digits=1):
    """Print costs, and their ratios to a reference: one name, or a function of the name."""
    print(f"\n{title:56}{'ns per path-step':>18}{'ratio':>10}")
    for name, cost in costs.items():
        ratio = f"{cost / costs[reference]:10.2f}" if reference else ""
        print(f"{name:56}{cost:18.{digits}f}{ratio}")


def describe_machine():
    """One line on what this ran on."""
    import llvmlite.binding

    features = llvmlite.binding.get_host_cpu_features()
    vectors = "AVX-512" if features.get("avx512f") else "AVX2" if features.get("avx2") else "no AVX2"
    print(
        f"{llvmlite.binding.get_host_cpu_name()} ({vectors}), {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}"
    )
