"""Growth rates and critical step sizes."""

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from dynsim.errors import ArgumentError
from dynsim.plot.common import PALE, STYLE, literal
from dynsim.plot.escape import broken

_ZERO = "growth 0: mean-square"
_LINES = {  # color, dashes, width; the thinner on top, so that lines that coincide are seen beside each other
    "deterministic": ("#009E73", "-", 3.8),
    "almost-sure": ("#E69F00", "-", 2.9),
    "mean-square": ("#000000", "-", 1.8),
    _ZERO: ("#000000", "-", 1.8),
    "one-step": ("#FFFFFF", (0, (4, 3)), 1.0),
    "lemma": ("#D55E9F", (0, (1, 6)), 1.6),
}
_OUTLINE = 1.2  # black, around the dashes, which are white
_WIDTH, _HEIGHT = 4.2, 3.8  # of a panel, inches
_DENSE_LABELS, _FEW_DECADES = 300, 5  # ratios of step sizes with room for labels at 1, 2, 5, and at any number
_BARS = 12  # values of the second axis up to which each has its own tick


def plot_stability_map(chart, ax=None, **style):
    """A panel for each method: growth as a color over two axes, or as a curve over step sizes."""
    count = len(chart.names)
    if ax is None:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(
            1, count, sharey=True, squeeze=False, layout="constrained", figsize=(_WIDTH * max(count, 1.5), _HEIGHT)
        )
        lines = _draw(chart, axes[0], style)
        _legend(figure, lines)
        return axes[0]
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if axes.size != count:
        raise ArgumentError(f"ax must be {count} Axes, one for each method, got {axes.size}")
    lines = _draw(chart, axes, style)
    if lines:
        axes[0].legend(lines.values(), lines.keys(), loc="best", fontsize="small")
    return axes


def draw_stability(stability):
    """The picture of ``dynsim stability linear-regression``."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots(1, len(stability.chart.names), sharey=True)
    _legend(figure, _draw(stability.chart, axes, {}))
    figure.suptitle(literal(stability.title), fontsize="medium")
    return figure


def draw_holds(comparison):
    """The picture of ``dynsim stability two-valleys``."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    minima = list(dict.fromkeys(hold.minimum for hold in comparison.holds))
    axes = figure.subplots(1, len(minima), squeeze=False)[0]
    for panel, minimum in zip(axes, minima, strict=True):
        for hold in comparison.holds:
            if hold.minimum == minimum:
                look = STYLE[hold.scheme]
                times = np.where(np.isfinite(hold.log_mean), hold.log_mean, np.nan) / np.log(10)
                panel.plot(*broken(hold.step_sizes, times, hold.holds.max), marker=".", label=hold.scheme, **look)
                panel.axvline(hold.holds.max, color=look["color"], linewidth=0.8, alpha=0.6)
        if all(np.isnan(hold.log_mean).all() for hold in comparison.holds if hold.minimum == minimum):
            why = f"times are not known:\n{comparison.no_chain}"
            panel.text(0.5, 0.5, why, transform=panel.transAxes, ha="center", fontsize="small", backgroundcolor="w")
            panel.set_yticks([])
        panel.set_ylabel("log₁₀ of mean steps until it leaves")
        _step_size_axis(panel)
        panel.set_title(f"minimum at {minimum:g}", fontsize="medium")
        panel.legend(fontsize="small")
    figure.suptitle(f"{literal(comparison.problem.name)}; upright: where one step may leave", fontsize="medium")
    return figure


def _legend(figure, lines):
    if lines:
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=len(lines), fontsize="small")


def _draw(chart, axes, style):
    """The panels; returns a line of each criterion that is in view of one of them."""
    over_two = chart.values.size > 1
    deepest = max(0.0, -chart.growth.min())
    half = deepest if deepest > 0 else float(np.abs(chart.growth).max())
    lines: dict = {}
    for i, (panel, name) in enumerate(zip(axes, chart.names, strict=True)):
        if over_two:
            image = _image(panel, chart, i, {"cmap": "RdBu_r", "norm": CenteredNorm(0, half), **style})
        else:
            _curve(panel, chart, i, half, style)
        critical = dict(chart.critical)
        if over_two and "mean-square" not in critical:
            critical[_ZERO] = chart.zeros
        shown = {}
        for criterion, bounds in critical.items():
            line = _critical(panel, chart, criterion, bounds[i], over_two)
            if line is not None:
                shown[criterion if over_two else f"{criterion} {_number(*bounds[i, 0])}"] = line
        if over_two:
            lines = shown | lines
        elif shown:
            panel.legend(shown.values(), shown.keys(), loc="best", fontsize="small")
        panel.set_xlim(*_edges(chart.step_sizes, True)[[0, -1]])
        panel.set_title(literal(name), fontsize="medium")
        _step_size_axis(panel)
    what = "growth of ln E‖θ − θ*‖² per step"
    if over_two:
        extend = "max" if chart.growth.max() > half else "neither"
        axes[0].figure.colorbar(image, ax=list(axes), extend=extend, label=what)
    else:
        axes[0].set_ylabel(what)
    return lines


def _step_size_axis(panel):
    """Logarithmic, with labels that do not run into each other."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    dense = LogLocator(subs=(1.0, 2.0, 5.0) if high < _DENSE_LABELS * low else (1.0,))
    panel.xaxis.set_major_locator(MaxNLocator(5) if high < _FEW_DECADES * low else dense)
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("step size")


def _image(panel, chart, i, style):
    """The colors, and the line where the growth is 0."""
    y = chart.values
    logarithmic = _is_logarithmic(y)
    image = panel.pcolormesh(_edges(chart.step_sizes, True), _edges(y, logarithmic), chart.growth[i], **style)
    if logarithmic:
        panel.set_yscale("log")
    if y.size <= _BARS:
        panel.set_yticks(y, [f"{value:g}" for value in y])
        panel.yaxis.set_minor_locator(NullLocator())
    panel.set_ylabel(literal(chart.axis.replace("_", " ")))
    panel.label_outer()
    return image


def _edges(centers, logarithmic):
    """Edges of cells around centers, halfway between them."""
    x = np.log(centers) if logarithmic else centers
    half = 0.5 * (np.diff(x) if x.size > 1 else np.ones(1))
    edges = np.concatenate([[x[0] - half[0]], 0.5 * (x[1:] + x[:-1]), [x[-1] + half[-1]]])
    return np.exp(edges) if logarithmic else edges


def _is_logarithmic(y):
    """Whether values are spaced more evenly on a logarithmic axis."""
    return y[0] > 0 and _unevenness(np.log(y)) <= _unevenness(y)


def _unevenness(x):
    gaps = np.diff(x)
    return np.ptp(gaps) / gaps.max()


def _curve(panel, chart, i, half, style):
    """The growth over step sizes, with a band of two standard errors."""
    growth, stderr = chart.growth[i, 0], chart.stderr[i, 0]
    style = {"color": "#0072B2", "linewidth": 1.6, **style}
    panel.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    panel.plot(chart.step_sizes, growth, **style)
    if stderr.any():
        panel.fill_between(
            chart.step_sizes, growth - 2 * stderr, growth + 2 * stderr, color=style["color"], alpha=0.25, linewidth=0
        )
    panel.set_ylim(-1.15 * half, 1.15 * half)


def _critical(panel, chart, criterion, bounds, over_two):
    """A line at a critical step size, shaded between its bounds; None where it is not in view."""
    low, high = _edges(chart.step_sizes, True)[[0, -1]]
    middle = bounds.mean(axis=1)
    if not ((middle > low) & (middle < high)).any():
        return None
    color, dash, width = _LINES[criterion]
    look = {"color": color, "linestyle": dash, "linewidth": width, "zorder": 3 + list(_LINES).index(criterion) / 10}
    if color == "#FFFFFF":
        look["path_effects"] = [Stroke(linewidth=width + _OUTLINE, foreground="#000000"), Normal()]
    wide = (bounds[:, 1] > bounds[:, 0]).any()
    if not over_two:
        if wide:
            panel.axvspan(*bounds[0], color=color, alpha=0.2, linewidth=0)
        return panel.axvline(middle[0], **look)
    if chart.axis != "batch_size":  # it may jump between the values of a parameter
        return _steps(panel, chart.values, bounds, look)
    if wide:
        panel.fill_betweenx(chart.values, bounds[:, 0], bounds[:, 1], color=color, alpha=0.25, linewidth=0)
    return panel.plot(middle, chart.values, **look)[0]


def _steps(panel, values, bounds, look):
    """A marker at each value, in a line as long as its row of cells; returns the markers with the line."""
    edges = _edges(values, _is_logarithmic(values))
    rows = np.repeat(edges, 2)[1:-1]
    low, high = np.repeat(bounds, 2, axis=0).T
    middle = bounds.mean(axis=1)
    panel.fill_betweenx(rows, low, high, color=look["color"], alpha=0.25, linewidth=0)
    panel.plot(0.5 * (low + high), rows, **look | {"linewidth": 0.5 * look["linewidth"]})
    marks = {"marker": "o", "markersize": 2 + 1.8 * look["linewidth"], "markeredgecolor": "#000000"}
    return panel.plot(middle, values, color=look["color"], zorder=look["zorder"], linestyle="none", **marks)[0]


def _number(low, high):
    """A critical step size, or bounds on it, in a legend."""
    low, high = f"{low:.4g}", f"{high:.4g}"
    return low if low == high else f"[{low}, {high}]"
