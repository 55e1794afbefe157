"""Update rules against torch.optim, in float64 on the same gradients."""

import numpy as np
import pytest

import dynsim as ds
from dynsim._kernels.increments import fill_step_uniforms
from dynsim._random import seed_and_key

torch = pytest.importorskip("torch")

N_STEPS = 200
PAIRS = {
    "SGD": (ds.SGD, {}, torch.optim.SGD, {}),
    "HeavyBall": (ds.HeavyBall, {"momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
    "Nesterov": (ds.Nesterov, {"momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "RMSProp": (ds.RMSProp, {"alpha": 0.95}, torch.optim.RMSprop, {"alpha": 0.95}),
    "Adam": (ds.Adam, {}, torch.optim.Adam, {}),
    "Adam, other parameters": (
        ds.Adam,
        {"beta1": 0.5, "beta2": 0.8, "eps": 0.01},
        torch.optim.Adam,
        {"betas": (0.5, 0.8), "eps": 0.01},
    ),
}


def drawn_terms(n_terms, rng):
    """The term that path 0 draws in each step, uniformly."""
    both = np.empty((2, 1))
    for k in range(N_STEPS):
        fill_step_uniforms(seed_and_key(rng)[1], k >> 1, 0, both)
        yield int(both[k & 1, 0] * n_terms)


def by_torch(optimizer, options, gradients, x0, step_size):
    """Parameters before each step, and after the last; ``gradients`` gives that of step k at θ."""
    parameter = torch.nn.Parameter(torch.tensor(x0, dtype=torch.float64))
    optimizer = optimizer([parameter], lr=step_size, **options)
    path = [parameter.detach().numpy().copy()]
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient(path[-1]))
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return np.array(path)


def query_points(path, momentum):
    """q_k = θ_k + μ(θ_k − θ_{k−1}), θ_{−1} = θ_0: where Nesterov's gradients are, and what torch calls parameters.

    torch has b_k = μ b_{k−1} + g_k, p_{k+1} = p_k − η(g_k + μ b_k). With −η b_k = θ_{k+1} − θ_k, which holds at k = 0
    and then for all k, that is q_{k+1} = θ_{k+1} + μ(θ_{k+1} − θ_k).
    """
    return path + momentum * np.diff(path, axis=0, prepend=path[:1])


@pytest.mark.parametrize("batch_size", [1, "full"])
@pytest.mark.parametrize("name", PAIRS)
def test_update_rules_are_torch_s(data, name, batch_size):
    """On a nonconvex loss in three dimensions; with single terms, torch is given those that dynsim draws."""
    method, options, optimizer, torch_options = PAIRS[name]
    problem, x0 = ds.problems.linear_model(*data, loss="welsch"), [2.0, -1.0, 0.5]
    step_size = 0.005 if name == "RMSProp" else 0.02  # near the minimum it is chaotic, its steps being about as long
    if batch_size == "full":
        gradients = [problem.gradient] * N_STEPS
    else:
        gradients = [
            lambda theta, n=n: problem.term_gradients(theta)[n].copy() for n in drawn_terms(problem.n_terms, rng=5)
        ]
    found = ds.iterate(problem, method(step_size, batch_size=batch_size, **options), x0, n_steps=N_STEPS, rng=5).x[0]
    expected = by_torch(optimizer, torch_options, gradients, x0, step_size)
    if method is ds.Nesterov:
        found = query_points(found, options["momentum"])
    assert np.abs(np.diff(expected, axis=0)).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_loss_of_the_comparison_is_not_convex(data):
    problem = ds.problems.linear_model(*data, loss="welsch")
    assert np.linalg.eigvalsh(problem.hessian([2.0, -1.0, 0.5])).min() < 0
