"""What tests share."""

import os
import sys

# The workers of pytest-xdist share the cores: threads of BLAS beside them only wait for one another. Before NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

import dynsim as ds


@pytest.fixture(autouse=True)
def no_figures_left():
    """Close what a test has drawn."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def valleys():
    return ds.problems.two_valleys(a1=0.4, eps=0.1, K=5.0)


@pytest.fixture
def data():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(12, 3)) * np.array([1.0, 2.0, 0.5])
    return X, X @ np.array([1.0, -0.5, 2.0]) + rng.normal(size=12)


@pytest.fixture
def welsch(data):
    return ds.problems.linear_model(*data, loss="welsch")


@pytest.fixture
def schemes():
    """SGD, RR and Balanced for a given step size."""
    return lambda eta: (ds.SGD(eta), ds.RR(eta), ds.SGD(eta, ds.sampling.Balanced()))


def right(theta):
    """The valley of the global minimum of two_valleys."""
    return theta[..., 0] > 0


def left_for_good(theta):
    """Past the middle between the two valleys."""
    return theta[..., 0] < -0.5
