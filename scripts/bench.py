"""Benchmarks: dynsim beside its peers, all in one run, because only ratios within a run mean anything.

    python scripts/bench.py ensemble    SDE paths: AY §2.1's piecewise linear SDE (SGD's limit at η = 0.04),
                                        Müller–Brown in 2-D, 10 and 100 dimensions with full σ
    python scripts/bench.py schemes     all schemes on one equation
    python scripts/bench.py observers   what each observer adds to a step
    python scripts/bench.py chain       SGD and RR on AY §4.1.1, 4 800 terms, and §4.1.2, 2 800 terms in 10 dimensions
    python scripts/bench.py methods     what each sampling scheme, method and noise costs
    python scripts/bench.py scaling     cost against paths, steps and threads; memory against steps
    python scripts/bench.py density     stationary densities in 2-D (128² to 512² cells) and 3-D: time, memory, error
    python scripts/bench.py stability   critical step sizes: time and memory against n and d, dense and sparse
    python scripts/bench.py long        10^10 path-steps of the double well with a histogram and its errors

Costs are the best of several rounds in which all contestants take turns; compilation is not counted. diffrax, torchsde,
g++, fplanck and py-pde take part where they are installed.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
sys.path.insert(0, str(Path(__file__).with_name("bench")))

from chain import chain, methods
from costs import describe_machine
from density import density
from ensemble import ensemble
from scaling import long, observers, scaling, schemes
from stability import stability

BENCHMARKS = {f.__name__: f for f in (ensemble, schemes, observers, chain, methods, scaling, density, stability, long)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=list(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5, help="of which the best counts (default: 5)")
    arguments = parser.parse_args()
    describe_machine()
    BENCHMARKS[arguments.benchmark](arguments.rounds)


if __name__ == "__main__":
    main()
