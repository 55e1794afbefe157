"""Problems from SymPy expressions: exact gradients and Hessians, written out as Python and compiled."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dynsim.errors import ArgumentError, NotApplicable
from dynsim.problems.checking import check_minima
from dynsim.problems.user import from_terms

_LARGEST_EXACT = 2**53  # whole numbers beyond it are written as floats


def from_sympy(expr, theta, *, data=None, weights=None, name=None, minima=None, kinks=(), bounds=None):
    """What :meth:`Problem.from_sympy` does."""
    try:
        import sympy
    except ImportError:
        raise NotApplicable("from_sympy needs SymPy: pip install 'dynsim[sympy]'") from None
    several = isinstance(expr, Sequence | np.ndarray | sympy.Tuple | sympy.MatrixBase)
    terms = [_expression(sympy, term) for term in (expr if several else [expr])]
    coordinates = _symbols(sympy, theta)
    columns = _columns(sympy, {} if data is None else data)
    n_terms = _count(terms if several else None, columns)
    for term in terms:
        if unknown := term.free_symbols - set(coordinates) - set(columns):
            names = ", ".join(sorted(map(str, unknown)))
            raise ArgumentError(f"expr contains {names}, which is neither in theta nor in data")
    # Real symbols of our own: SymPy differentiates their |x|, and no name of the user's can be a word of Python's.
    point = [sympy.Symbol(f"t{j}", real=True) for j in range(len(coordinates))]
    row = [sympy.Symbol(f"p{k}", real=True) for k in range(len(columns))]
    renamed = dict(zip([*coordinates, *columns], [*point, *row], strict=True))
    write = _Writer(sympy, [term.xreplace(renamed) for term in terms], point, row)
    rows = np.column_stack([np.broadcast_to(column, n_terms) for column in columns.values()]) if columns else ()
    problem = from_terms(
        write.function("loss", "", lambda term: {"return {}": term}),
        write.function("gradient", ", out", write.gradient),
        hessian=write.function("hessian", ", out", write.hessian),
        n_terms=n_terms,
        dim=len(point),
        params=rows,
        weights=weights,
        name=(f"{n_terms} expressions" if several else str(expr)) if name is None else name,
        minima=minima,
        kinks=kinks,
        bounds=bounds,
        check=False,
    )
    check_minima(problem)
    return problem


def _expression(sympy, term):
    try:
        term = sympy.sympify(term)
    except (sympy.SympifyError, TypeError):
        term = None
    if not isinstance(term, sympy.Expr) or term.has(sympy.I, sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise ArgumentError(
            f"expr must be a real SymPy expression without infinities, or a sequence of them, got {term!r}"
        )
    if term.has(sympy.Sum, sympy.Product, sympy.Integral):
        raise NotApplicable(f"{term} cannot be compiled with sums, products or integrals in it; write out expr.doit()")
    for pieces in term.atoms(sympy.Piecewise):
        if pieces.args[-1].cond != True:  # noqa: E712 - a SymPy condition
            raise ArgumentError(f"expr must be defined for all theta, but {pieces} is not; end it with (..., True)")
    return term


def _symbols(sympy, theta):
    symbols = list(theta) if isinstance(theta, Sequence | np.ndarray | sympy.Tuple | sympy.MatrixBase) else [theta]
    if not symbols or not all(isinstance(symbol, sympy.Symbol) for symbol in symbols):
        raise ArgumentError(f"theta must be a SymPy symbol or a sequence of symbols, got {theta!r}")
    if len(set(symbols)) < len(symbols):
        raise ArgumentError(f"theta must be different symbols, got {theta!r}")
    return symbols


def _columns(sympy, data):
    """The data by symbol: arrays (n,) or numbers."""
    if not isinstance(data, Mapping) or not all(isinstance(symbol, sympy.Symbol) for symbol in data):
        raise ArgumentError("data must be a dict from SymPy symbols to numbers or arrays (n,)")
    columns = {}
    for symbol, values in data.items():
        try:
            columns[symbol] = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise ArgumentError(f"data[{symbol}] must be numbers, got {type(values).__name__}") from None
        if not np.isfinite(columns[symbol]).all():
            raise ArgumentError(f"data[{symbol}] must be finite")
        if columns[symbol].shape == (0,):
            raise ArgumentError(f"data[{symbol}] must have at least one row, it is empty")
        if columns[symbol].ndim > 1:
            raise ArgumentError(f"data[{symbol}] must be a number or have shape (n,), got {columns[symbol].shape}")
    return columns


def _count(terms, columns):
    lengths = {str(symbol): column.size for symbol, column in columns.items() if column.ndim}
    if len(set(lengths.values())) > 1:
        raise ArgumentError(f"data must have columns of one length, got {lengths}")
    n_rows = next(iter(lengths.values()), None)
    if terms is not None and n_rows not in (None, len(terms)):
        raise ArgumentError(f"data has {n_rows} rows, but there are {len(terms)} expressions, one for each term")
    return len(terms) if terms is not None else n_rows or 1


class _Writer:
    """Writes expressions in the symbols ``point`` and ``row`` as Python functions for :meth:`Problem.from_terms`."""

    def __init__(self, sympy, terms, point, row):
        self._sympy, self._terms, self._point, self._row = sympy, terms, point, row
        self._printer = _printer()

    def function(self, name, out, parts):
        """The function of (theta, n, params) that for term n does with each of its ``parts`` what their keys say."""
        from sympy.printing.codeprinter import PrintMethodNotImplementedError

        lines = [f"def {name}(theta, n{', params' if self._row else ''}{out}):"]
        lines += [f"    {symbol} = theta[{j}]" for j, symbol in enumerate(self._point)]
        lines += [f"    {symbol} = params[n, {k}]" for k, symbol in enumerate(self._row)]
        for n, term in enumerate(self._terms):
            if len(self._terms) > 1:
                lines.append("    " + ("else:" if n == len(self._terms) - 1 else f"{'el' if n else ''}if n == {n}:"))
            try:
                body = list(self._body(parts(term)))
            except PrintMethodNotImplementedError as error:
                what = str(error).splitlines()[0].rpartition(" ")[2]
                raise NotApplicable(f"{what} in the {name} of expr is no function that can be compiled") from None
            lines += [("        " if len(self._terms) > 1 else "    ") + line for line in body]
        names = {"math": math}
        exec(compile("\n".join(lines), "<expr>", "exec"), names)
        return names[name]

    def _body(self, parts):
        """Common subexpressions first."""
        symbols = self._sympy.numbered_symbols("c", real=True)
        common, results = self._sympy.cse(list(parts.values()), symbols=symbols)
        yield from (f"{symbol} = {self._printer.doprint(value)}" for symbol, value in common)
        for form, result in zip(parts, results, strict=True):
            yield form.format(f"1.0 * ({self._printer.doprint(result)})")

    def gradient(self, term):
        """Derivatives by θ_j."""
        term = self._in_pieces(term)
        return {f"out[{j}] = {{}}": self._derivative(term, symbol) for j, symbol in enumerate(self._point)}

    def hessian(self, term):
        """Second derivatives; at a kink they are those beside it."""
        parts, term = {}, self._in_pieces(term)
        for j, first in enumerate(self._point):
            slope = self._derivative(term, first)
            for k, second in enumerate(self._point[: j + 1]):
                parts[f"out[{j}, {k}] = out[{k}, {j}] = {{}}"] = self._derivative(slope, second)
        return parts

    def _in_pieces(self, term):
        """The same, with one piece for all derivatives where several meet: the first of the greatest, and 0 for √0."""
        sympy = self._sympy

        def greatest(relation):
            def pieces(*arguments):
                best = [(a, sympy.And(*(relation(a, b) for b in arguments if b != a))) for a in arguments[:-1]]
                return sympy.Piecewise(*best, (arguments[-1], True), evaluate=False)

            return pieces

        def is_length(part):
            return (
                part.is_Pow and part.exp == sympy.S.Half and part.base.is_nonnegative and not part.base.has(sympy.Abs)
            )

        def length(part):
            return sympy.Piecewise((0, sympy.Eq(part.base, 0)), (part, True), evaluate=False)

        term = term.replace(sympy.Max, greatest(sympy.Ge)).replace(sympy.Min, greatest(sympy.Le))
        return term.replace(is_length, length)

    def _derivative(self, term, symbol):
        result = term.diff(symbol).replace(self._sympy.DiracDelta, lambda *_: self._sympy.Integer(0))
        if result.has(self._sympy.Derivative, self._sympy.Subs):
            raise NotApplicable(f"SymPy cannot differentiate {term}")
        return result


def _printer():
    from sympy.printing.pycode import PythonCodePrinter

    class Printer(PythonCodePrinter):
        """Python's ``math``; of a jump it takes the value on the left."""

        def _print_sign(self, expr):
            return f"(1.0 if {self._print(expr.args[0])} > 0.0 else -1.0)"

        def _print_Heaviside(self, expr):
            return f"(1.0 if {self._print(expr.args[0])} > 0.0 else 0.0)"

        def _print_Integer(self, expr):
            return str(expr.p) if abs(expr.p) <= _LARGEST_EXACT else repr(float(expr.p))

    return Printer({"fully_qualified_modules": True, "strict": True})
