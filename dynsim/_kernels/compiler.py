"""Numba's compiler with two words to LLVM about loops.

Those whose number of turns is known when the function is compiled are unrolled: a user's sum over four wells is a loop
inside the loop over lanes, and LLVM makes SIMD code of innermost loops only. It unrolls small loops by itself, but four
exponentials are too much for its threshold.

The other innermost loops, those over lanes, are interleaved: several vectors at a time. The polynomials and the rounds
of Threefry are chains of operations that wait for each other, and a processor does not look far enough ahead to find
the next turn. LLVM interleaves loops with short bodies only. (Normals: from 3.7 to 2.7 ns with AVX2.)
"""

import math

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core import ir
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.ir_utils import get_definition, guard
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

_INTERLEAVED = 4  # vectors; more than there are registers for makes no loss
_MOST_STATEMENTS = 6000  # after unrolling: fifty wells of a potential; the time to compile grows faster than that
_STATEMENTS_OF_A_CALL = 40  # an elementary function is a polynomial


class LoopCompiler(CompilerBase):
    """Numba's own compiler but for one step, for ``numba.njit(pipeline_class=…)``."""

    def define_pipelines(self):
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_MarkingLowering if step is NativeLowering else step, name) for step, name in manager.passes]
        manager.finalize()
        return [manager]


class _Lower(Lower):
    """Numba's translation to LLVM; the jumps that close a loop get the mark."""

    def pre_lower(self):
        super().pre_lower()
        self._marks = dict(_marked_loops(self.func_ir, self.fndesc.typemap))
        self._nodes = {}

    def lower_inst(self, inst):
        super().lower_inst(inst)
        if isinstance(inst, ir.Jump) and inst.target in self._marks and self.blkmap[inst.target].is_terminated:
            if inst.target not in self._nodes:
                self._nodes[inst.target] = self._node(*self._marks[inst.target])
            self.builder.block.terminator.set_metadata("llvm.loop", self._nodes[inst.target])

    def _node(self, *mark):
        node = llvm.MDValue(self.module, (), name=str(len(self.module.metadata)))
        words = [llvm.Constant(llvm.IntType(32), word) if isinstance(word, int) else word for word in mark]
        node.operands = (node, self.module.add_metadata(words))  # the first is itself
        return node


@register_pass(mutates_CFG=True, analysis_only=False)
class _MarkingLowering(NativeLowering):
    _name = "marking_native_lowering"

    @property
    def lowering_class(self):
        return _Lower


def _marked_loops(func_ir, typemap):
    """The labels of the first blocks of loops, and what LLVM is told of them."""
    loops = compute_cfg_from_blocks(func_ir.blocks).loops()
    unrolled = set(_loops_to_unroll(func_ir, typemap, loops))
    yield from ((label, ("llvm.loop.unroll.enable",)) for label in unrolled)
    for label, loop in loops.items():
        inside = (set(loops) & set(loop.body)) - {label}
        if label not in unrolled and inside <= unrolled:
            yield label, ("llvm.loop.interleave.count", _INTERLEAVED)


def _loops_to_unroll(func_ir, typemap, loops):
    """The labels of the first blocks of the loops of known length that do not become too long."""
    turns = {label: _turns(func_ir, typemap, func_ir.blocks[label]) for label in loops}
    for label, loop in loops.items():
        around = math.prod(turns[other] or 1 for other in loops if label in loops[other].body)
        size = sum(_size(func_ir.blocks[inside]) for inside in loop.body)
        if turns[label] and around * size <= _MOST_STATEMENTS:
            yield label


def _size(block):
    return len(block.body) + _STATEMENTS_OF_A_CALL * sum(1 for _ in block.find_exprs("call"))


def _turns(func_ir, typemap, header):
    """How often the loop with this first block turns, or None."""
    for step in header.find_exprs("iternext"):
        iterator = guard(get_definition, func_ir, step.value)
        if isinstance(iterator, ir.Expr) and iterator.op == "getiter":
            return _length(func_ir, typemap, iterator.value)
    return None


def _length(func_ir, typemap, variable):
    """The length of a tuple, a constant array, or a range, zip or enumeration of such; None if it is not known."""
    if isinstance(typemap[variable.name], types.BaseTuple):
        return typemap[variable.name].count
    definition = guard(get_definition, func_ir, variable)
    if isinstance(definition, (ir.Global, ir.FreeVar)) and isinstance(definition.value, np.ndarray):
        return len(definition.value)
    if not isinstance(definition, ir.Expr) or definition.op != "call":
        return None
    function = getattr(guard(get_definition, func_ir, definition.func), "value", None)
    if function is range:
        numbers = [_integer(func_ir, typemap, argument) for argument in definition.args]
        return None if None in numbers else len(range(*numbers))
    if function in (zip, enumerate):
        iterables = definition.args if function is zip else definition.args[:1]
        lengths = [_length(func_ir, typemap, argument) for argument in iterables]
        return None if None in lengths else min(lengths, default=None)
    return None


def _integer(func_ir, typemap, variable):
    """The value of a literal integer or of len(…) of a known length, or None."""
    if isinstance(typemap[variable.name], types.IntegerLiteral):
        return typemap[variable.name].literal_value
    definition = guard(get_definition, func_ir, variable)
    if isinstance(definition, ir.Expr) and definition.op == "call":
        function = getattr(guard(get_definition, func_ir, definition.func), "value", None)
        if function is len:
            return _length(func_ir, typemap, definition.args[0])
    return None
