"""Methods and schemes as parts of the engine: layouts, interruptions, memory, divergence."""

import numpy as np
import pytest
from test_checkpoint import press_ctrl_c
from test_methods import FULL, RISING

import dynsim as ds
from dynsim import sampling
from dynsim._ensemble import DIVERGED


def remember(theta, g, step_size, k, m):
    for j in range(len(theta)):
        m[j] = 0.9 * m[j] + g[j]
        theta[j] -= step_size * m[j]


SCHEMES = {
    "GradientNorm": sampling.GradientNorm(),
    "Mixture": sampling.Mixture(0.5),
    "Proportions": sampling.Proportions(np.arange(1, 13) / 78),
    "Lipschitz": sampling.Lipschitz(np.arange(1.0, 13.0)),
    "GroupNorm": sampling.GroupNorm(np.arange(12) % 3),
    "Rejection": sampling.Rejection(10.0),
    "Presample": sampling.Presample(6, threshold=1.05),
    "Stale": sampling.Stale(7),
    "Custom": sampling.Custom(lambda theta, n: 1.0 + n * theta[0] ** 2),
    "WithoutReplacement": sampling.WithoutReplacement(),
    "Reshuffled": sampling.Reshuffled(),  # in epochs of three steps
}
METHODS = {
    "SGD": ds.SGD(0.05),
    "HeavyBall": ds.HeavyBall(0.05),
    "Nesterov": ds.Nesterov(0.05),
    "RMSProp": ds.RMSProp(0.05, sampling.GradientNorm()),
    "RMSProp, scalar": ds.RMSProp(0.05, elementwise=False),
    "Adam": ds.Adam(0.05, batch_size=3),
    "Adam, scalar": ds.Adam(0.05, elementwise=False),
    "ACClip": ds.ACClip(0.05, alpha=1.5),
    "Clipped": ds.Clipped(0.1, gamma=0.5),
    "Normalized": ds.Normalized(0.1, beta=0.1),
    "GClip": ds.GClip(0.1, threshold=RISING),
    "ProjectedGClip": ds.ProjectedGClip(0.1, threshold=RISING, radius=1.0),
    "CClip": ds.CClip(ds.schedules.Polynomial(0.1, 1, 0.5), threshold=0.1),
    "INGD": ds.INGD(delta=0.1, epsilon=0.05, lipschitz=2.0),
    "StochasticINGD": ds.StochasticINGD(p=10.0, q=1.0, beta=0.9),
    "Custom method": ds.methods.Custom(0.05, update=remember),
    "with stable noise": ds.HeavyBall(0.05, noise=ds.noise.AlphaStable(1.5)),
    **{name: ds.HeavyBall(0.05, scheme, batch_size=5) for name, scheme in SCHEMES.items()},
}
STARTS = np.random.default_rng(0).normal(size=(60, 3))


@pytest.mark.parametrize("name", METHODS)
def test_threads_blocks_chunks_and_other_paths_change_no_bit(welsch, name):
    def run(n_paths=60, **layout):
        return ds.iterate(
            welsch, METHODS[name], STARTS[:n_paths], n_steps=41, n_paths=n_paths, rng=9, save_every=7, **layout
        ).x

    reference = run()
    assert np.isfinite(reference).all()
    assert (reference[:, -1] != reference[:, 0]).any(axis=1).mean() > 0.9
    for layout in ((1, 8, 1), (2, 64, 2), (3, 16, 13), (1, 1, 1000), (2, 7, 5)):
        threads, width, chunk = layout
        assert (run(threads=threads, block_width=width, chunk_steps=chunk) == reference).all(), layout
    assert (run(n_paths=3) == reference[:3]).all()


@pytest.mark.parametrize("name", METHODS)
def test_interrupted_runs_go_on_to_the_same_bits(welsch, name, tmp_path, monkeypatch):
    """After 25 of 60 steps: within an epoch, within a pair of steps, and with what a path remembers."""

    def run(**options):
        watch = ds.observers.Moments()
        return ds.iterate(
            welsch, METHODS[name], STARTS[:9], n_steps=60, n_paths=9, rng=9, save_every=7, observe=watch, **options
        )

    file = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        patch.setattr("dynsim._ensemble.tqdm", press_ctrl_c(after=5))
        with pytest.warns(UserWarning, match="interrupted after 25 of 60 steps"):
            run(checkpoint=file, chunk_steps=5)
    resumed, alone = run(checkpoint=file, threads=1, block_width=4), run()
    assert (resumed.x == alone.x).all()
    assert (resumed.observed["moments"].means == alone.observed["moments"].means).all()


@pytest.mark.parametrize("name", ["HeavyBall", "Nesterov", "Adam", "Stale", "Presample"])
def test_what_is_saved_and_what_observers_see_is_theta_alone(welsch, name):
    def run(every, **options):
        return ds.iterate(welsch, METHODS[name], STARTS[:9], n_steps=50, n_paths=9, rng=2, save_every=every, **options)

    full = run(1).x
    assert full.shape == (9, 51, 3)
    for every, steps in ((7, [0, 7, 14, 21, 28, 35, 42, 49, 50]), (None, [0, 50])):
        assert (run(every).x == full[:, steps]).all()
    observed = run(None, observe=[ds.observers.Moments(), ds.observers.Extremes()]).observed
    assert observed["moments"].means.shape == (9, 3)
    np.testing.assert_allclose(observed["moments"].means, full.mean(axis=1), rtol=1e-12, atol=1e-14)
    low, high = observed["extremes"].lows, observed["extremes"].highs
    assert (low == full.min(axis=1)).all()
    assert (high == full.max(axis=1)).all()


@pytest.mark.parametrize(
    "method",
    [ds.HeavyBall(1.5), ds.Nesterov(2.0), ds.SGD(2.0, sampling.Stale(3)), ds.SGD(2.0, sampling.Reshuffled())],
    ids=lambda method: method.name,
)
def test_divergence_is_noticed_to_the_step_beside_rows_of_memory(method):
    problem = ds.problems.linear_model([[1.0], [3.0]], [0.0, 0.1])
    runs = [
        ds.iterate(problem, method, 1.0, n_steps=1500, n_paths=20, rng=0, chunk_steps=chunk) for chunk in (None, 1, 77)
    ]
    expected = np.argmax(~(np.abs(runs[0].x[..., 0]) <= DIVERGED), axis=1)
    assert (expected > 10).all()
    for run in runs:
        assert (run.diverged == expected).all()


def test_a_memory_that_is_large_is_no_divergence():
    """RMSProp's v is the square of gradients of 1e60, and θ stays where it is."""
    problem = ds.problems.quadratic([1e60])
    run = ds.iterate(problem, ds.RMSProp(0.01, **FULL), 1.0, n_steps=50, n_paths=2)
    assert run.n_diverged == 0
    assert np.abs(run.x).max() <= 1


def test_a_run_with_functions_as_schedules_is_resumed_by_equal_functions(tmp_path):
    """As in a new process, where they have another address."""

    def run():
        method = ds.Nesterov(lambda k: 0.5 / (k + 10), momentum=lambda k: k / (k + 3))
        return ds.iterate(ds.problems.two_valleys(), method, 0.5, n_steps=40, rng=0, checkpoint=tmp_path / "c.npz")

    assert (run().x == run().x).all()


def test_scratch_of_very_many_terms_and_numbers_is_bounded_or_refused():
    problem = ds.problems.disparate_groups(20_000, rng=0)
    chain = ds.iterate(problem, ds.SGD(1e-4, sampling.Reshuffled()), 0.0, n_steps=64, n_paths=64, rng=0, threads=1)
    again = ds.iterate(problem, ds.SGD(1e-4, sampling.Reshuffled()), 0.0, n_steps=64, n_paths=64, rng=0, chunk_steps=7)
    assert (chain.x == again.x).all()
    with pytest.raises(ds.errors.TooLarge, match="random numbers a step, more than the 1048576 there are"):
        ds.iterate(problem, ds.SGD(1e-4, batch_size=10**7), 0.0, n_steps=1)
    with pytest.raises(ds.errors.TooLarge, match="what the paths remember"):
        ds.iterate(problem, ds.SGD(1e-4, sampling.Stale(5)), 0.0, n_steps=1, n_paths=10**6)
