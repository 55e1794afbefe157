"""The study of coverage in analysis/: its processes against other computations, and that it tells errors apart."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg

sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))
import _peers
import _processes
import calibration

KEYS = list(_processes.PROCESSES)
NOMINAL = math.sqrt(0.95 * 0.05)  # times 1/√replications: standard error of a coverage of 95 %


@pytest.fixture(scope="module", params=KEYS)
def process(request):
    return _processes.PROCESSES[request.param]()


def test_closed_forms_of_tau_are_the_sums_of_autocovariances(process):
    gamma = process.autocovariance(40_000)
    assert process.tau == pytest.approx(2 * gamma.sum() / gamma[0] - 1, rel=1e-8)


def test_standard_errors_are_those_of_the_double_sum(process):
    n = 57
    gamma = process.autocovariance(n)
    brute = sum(gamma[abs(i - j)] for i in range(n) for j in range(n)) / n**2
    assert process.stderr(6, n) == pytest.approx(math.sqrt(brute / 6), rel=1e-12)


def test_series_have_the_mean_and_autocovariances_that_are_said_from_their_first_value_on(process):
    n_paths, n, lags = 4000, 60, (0, 1, 7, 30)
    x = process.draw(np.random.default_rng(5), n_paths, n)
    assert x.shape == (n_paths, n)
    errors = (x.mean() - process.mean) / process.stderr(n_paths, n)
    assert abs(errors) < 5
    gamma = process.autocovariance(n)
    for start in (0, n - 31):
        for lag in lags:
            products = (x[:, start] - process.mean) * (x[:, start + lag] - process.mean)
            assert abs(products.mean() - gamma[lag]) < 5 * products.std() / math.sqrt(n_paths), (start, lag)


def test_averages_of_chains_scatter_by_the_standard_error_that_is_said(process):
    n_paths, n = 3000, 200
    squares = (process.draw(np.random.default_rng(6), n_paths, n).mean(axis=1) - process.mean) ** 2
    assert abs(squares.mean() - process.stderr(1, n) ** 2) < 5 * squares.std() / math.sqrt(n_paths)


def test_autoregression_is_that_of_its_recursion():
    process = _processes.autoregressive(-0.9)
    gamma = process.autocovariance(5)
    assert gamma[0] == pytest.approx(0.81 * gamma[0] + 1)
    assert gamma[1:] == pytest.approx(-0.9 * gamma[:-1])
    assert gamma[0] * process.tau == pytest.approx(1 / 1.9**2)


def test_rotating_autocovariance_is_that_of_the_linear_sde():
    drift = np.array([[-0.1, -1.0], [1.0, -0.1]])
    stationary = linalg.solve_continuous_lyapunov(drift, -2 * np.eye(2))
    exact = [(linalg.expm(drift * 0.2 * k) @ stationary)[0, 0] for k in range(40)]
    assert _processes.rotating().autocovariance(40) == pytest.approx(exact, abs=1e-10)


def test_two_state_autocovariance_is_that_of_matrix_powers():
    P = np.array([[0.95, 0.05], [0.1, 0.9]])
    law, states = np.array([2, 1]) / 3, np.array([0, 1])
    process = _processes.two_states(0.05, 0.1)
    exact = [law @ (states * (np.linalg.matrix_power(P, k) @ states)) - 1 / 9 for k in range(30)]
    assert law @ P == pytest.approx(law)
    assert process.autocovariance(30) == pytest.approx(exact, abs=1e-14)


def test_student_second_moment_is_a_fixed_point_of_a_step_by_quadrature():
    h, nu = 0.02, 5.0
    v = _processes.student(nu, h).autocovariance(1)[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    x = math.sqrt(v) * nodes  # a step is quadratic in x on average: any law with this second moment does
    after = (1 - h) * x[:, None] + np.sqrt(2 * h * (nu + x[:, None] ** 2) / (nu - 1)) * nodes
    assert weights @ after**2 @ weights == pytest.approx(v, rel=1e-12)


def test_valleys_mean_is_that_of_its_own_simulation_of_the_terms():
    a1, eps, K, eta = 0.4, 0.5, 2.0, 0.24
    rng = np.random.default_rng(8)
    x = np.full(4000, 0.25 + eta / 7)
    total = []
    for k in range(1500):
        flat = rng.random(x.size) < a1
        slopes = np.where(x > 0, np.where(flat, eps, K * np.sign(K * x - 1)), np.where(flat, np.sign(x + 1), -eps))
        x = x - eta * slopes
        if k >= 500:
            total.append([x.mean(), (x > 0).mean()])
    for share, mean in enumerate(np.mean(total, axis=0)):
        process = _processes.valleys(eta, share=bool(share))
        assert abs(mean - process.mean) < 5 * process.stderr(4000, 1000)


@pytest.fixture(scope="module")
def slow_autoregression():
    """Cells of AR(1) with φ = 0.95."""
    return calibration.measured(["ar-0.95"], [(16, 1250)], 300, [calibration.NAIVE, calibration.EXACT])


def test_intervals_of_the_true_error_cover_95_percent(slow_autoregression):
    assert abs(slow_autoregression[1]["coverage"] - 0.95) < 5 * NOMINAL / math.sqrt(300)


def test_intervals_as_if_independent_are_found_out(slow_autoregression):
    assert slow_autoregression[0]["coverage"] < 0.95 - 5 * NOMINAL / math.sqrt(300)
    assert slow_autoregression[0]["width"] == pytest.approx(1 / math.sqrt(39), rel=0.05)


@pytest.mark.parametrize(("key", "n_paths"), [("ar-0.95", 16), ("ar--0.9", 1), ("rotating", 16), ("states-0.05", 1)])
def test_our_intervals_cover_95_percent_and_are_as_narrow_as_those_of_the_true_error(key, n_paths):
    (cell,) = calibration.measured([key], [(n_paths, 20_000 // n_paths)], 80, [calibration.OURS])
    assert sum(cell["refused"].values()) < 0.1
    assert abs(cell["coverage_of_all"] - 0.95) < 5 * NOMINAL / math.sqrt(80)
    assert cell["width"] == pytest.approx(1, abs=0.15)


def test_chunks_and_processes_that_share_the_work_change_nothing():
    labels = [calibration.NAIVE, calibration.EXACT]
    alone, shared = (calibration.measured(["states-0.05"], [(16, 1250)], 120, labels, jobs=jobs) for jobs in (1, 2))
    for one, other in zip(alone, shared, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    first, second = (calibration.outcomes("independent", (16, 1250), 2, k, [calibration.NAIVE]) for k in (0, 1))
    assert first[calibration.NAIVE][0][0] != second[calibration.NAIVE][0][0]


def test_summary_counts_what_was_refused_apart():
    process = _processes.independent()
    rows = [
        (0.1, 0.2, "", False, 1.0),  # covers
        (0.3, 0.2, "", True, 1.0),  # does not
        (0.1, 0.2, "TooShort", True, 1.0),  # would cover
        (0.1, math.nan, "nan", False, 1.0),  # covers nothing
    ]
    cell = calibration.summary(process, (1, 100), "some", rows)
    assert cell["coverage"] == 0.5
    assert cell["stderr"] == pytest.approx(math.sqrt(0.25 / 2))
    assert cell["coverage_of_all"] == 0.5
    assert cell["refused"] == {"TooShort": 0.25, "nan": 0.25}
    assert cell["warned"] == 0.5
    assert cell["width"] == pytest.approx(0.2 / 0.196, rel=1e-4)


def test_summary_of_nothing_but_refusals_has_no_coverage():
    cell = calibration.summary(_processes.independent(), (1, 100), "some", [(0.0, 1.0, "TooShort", False, 1.0)])
    assert cell["coverage"] is None
    assert cell["coverage_of_all"] == 1
    assert calibration.cell_of_coverage(cell) == "none, refused 100; 100.0 of all"


def test_a_run_from_the_command_line_writes_table_numbers_and_picture(tmp_path, monkeypatch, capsys):
    arguments = ["--quick", "--only", "independent", "ar-0.95", "--replications", "3"]
    columns = ["--estimators", calibration.NAIVE, calibration.EXACT]
    monkeypatch.setattr(sys, "argv", ["calibration.py", *arguments, *columns, "--output", str(tmp_path)])
    calibration.main()
    assert "| AR(1), φ = 0.95 | 16 × 1250 | 513 |" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"calibration.md", "calibration.json", "calibration.png"}
    cells = json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))
    assert [cell["estimator"] for cell in cells] == columns[1:] * 2


def test_unknown_estimators_are_named_on_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["calibration.py", "--estimators", "bootstrap"])
    with pytest.raises(SystemExit):
        calibration.main()
    assert "unknown or not installed: bootstrap" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["arviz-stats", "emcee", "pymbar", "pymbar equilibrated"])
@pytest.mark.parametrize("split", [(8, 500), (1, 4000)], ids=["8x500", "1x4000"])
@pytest.mark.filterwarnings("ignore")
def test_peers_are_fed_so_that_they_find_the_error_of_independent_values(name, split):
    found, missing = _peers.installed()
    if name not in found:
        pytest.skip(f"{', '.join(missing)} not installed")
    series = np.random.default_rng(9).standard_normal(split)
    value, half, refused = found[name](series)
    assert refused == ""
    assert value == pytest.approx(series.mean(), abs=1.96 / math.sqrt(4000))
    assert half == pytest.approx(1.96 / math.sqrt(4000), rel=0.25)
