"""The layer rule of the design, read off the syntax trees."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dynsim"
MODULES = sorted(PACKAGE.rglob("*.py"))
KERNEL_IMPORTS = {
    *(
        "contextlib",
        "functools",
        "inspect",
        "itertools",
        "llvmlite",
        "math",
        "numba",
        "numpy",
        "operator",
        "os",
        "typing",
    ),
    *("pathlib", "tempfile", "types", "warnings"),
}
# Rooms whose values draw themselves, importing plot inside a function
DRAWN = {
    "sampling",
    "results",
    "observed",
    "schedules",
    "noise",
    "problems",
    "landscape",
    "stationary",
    "stability",
    "theory",
    "tails",
    "averages",
    "ergodic",
    "dynamics",
}
# Each room may import from its own and from those to its left.
ORDER = [
    *("errors", "_typing", "_check", "_random", "_fingerprint", "_kernels", "tails", "averages", "observed"),
    *("observers", "_observation"),
    *(
        "_checkpoint",
        "_ensemble",
        "grid",
        "results",
        "sampling",
        "schedules",
        "noise",
        "problems",
        "methods",
        "landscape",
    ),
    *("chain", "sde", "sdes", "stationary", "ergodic", "dynamics", "stability", "theory", "plot", "compare"),
    *("cli", "__main__"),
]


def imports(path):
    """Dotted names that a module imports at run time, at its top or inside its functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    skipped = {id(node) for block in for_types for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    for name in imports(path):
        root, _, rest = name.partition(".")
        if room(path) == "_kernels":
            assert root in KERNEL_IMPORTS or name.startswith("dynsim._kernels"), name
        else:
            assert root != "numba", name
        target = rest.split(".")[0]
        if root == "dynsim" and target in ORDER and room(path) in ORDER:
            drawing = room(path) in DRAWN and target == "plot"
            assert ORDER.index(target) <= ORDER.index(room(path)) or drawing, name


def test_every_room_has_its_place():
    assert {room(path) for path in MODULES} == {*ORDER, "__init__"}


def test_results_reach_for_plot_only_when_asked_to_draw():
    for path in (PACKAGE / "results").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any("plot" in (node.module or "") for node in tree.body if isinstance(node, ast.ImportFrom))


def test_the_public_names_are_all_there():
    import dynsim as ds

    for name in ds.__all__:
        assert getattr(ds, name) is not None
        assert name in dir(ds)
    with pytest.raises(AttributeError, match="no attribute 'sgd'"):
        _ = ds.sgd
