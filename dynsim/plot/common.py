"""What all drawings share."""

# Colors (Okabe & Ito) differ in lightness too, and each scheme has its own dashes
STYLE = {
    "SGD": {"color": "#D55E00", "linestyle": "--"},
    "RR": {"color": "#0072B2", "linestyle": "-"},
    "Balanced": {"color": "#333333", "linestyle": "-."},
}
PALE = "#BBBBBB"


def axes(ax):
    """The given Axes, or new ones."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def literal(text):
    """Text that matplotlib shall not read as mathematics."""
    return text.replace("$", r"\$")


def plural(count, noun):
    """``1 path``, ``2 paths``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
