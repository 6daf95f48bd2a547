"""Elementwise functions written in JAX, run over arrays of points by NumPy.

XLA takes seconds to compile what a small fit then uses for milliseconds. A law is a short scalar
expression: JAX traces and differentiates it, and NumPy makes the operations that come out over
whole arrays of points, at least as fast and without compiling anything. Functions that do something
else point by point, a loop or a sum, are compiled all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import chain
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ._arithmetic import in_double_precision

Operation = Callable[..., Any]


class NotElementwise(Exception):
    """A function does what is not done here point by point: loops, sums, arrays of its own."""


# JAX's primitive -> the same in NumPy.
_OPERATIONS: dict[str, Operation] = {
    "abs": np.abs,
    "add": np.add,
    "add_any": np.add,
    "and": np.logical_and,
    "cbrt": np.cbrt,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "cos": np.cos,
    "cosh": np.cosh,
    "div": np.divide,
    "eq": np.equal,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.logical_not,
    "or": np.logical_or,
    "pow": np.power,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "select_n": lambda which, no, yes: np.where(which, yes, no),
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "sub": np.subtract,
    "tan": np.tan,
    "tanh": np.tanh,
}
_UNCHANGED = ("copy", "copy_p", "reduce_precision", "stop_gradient")
_LOOPS = ("scan", "while", "cond")
_FEW, _MANY = 256, 2048  # points in a compiled call


def pointwise(function: Callable[..., Any], *like: Any) -> Elementwise | Compiled:
    """A function of scalars, run over arrays that broadcast together, in double precision.

    Of `like`, arguments of the function, only the structure counts: every leaf is a scalar.
    """
    try:
        return Elementwise(function, *like)
    except NotElementwise:
        return Compiled(function, *like)


def listing(function: Callable[..., Any], *like: Any) -> dict[str, Any]:
    """A function of scalars as a list of operations, in JSON, for what is not Python to run.

    Values have places: first those of the arguments' leaves, then what is computed. `numbers` are
    [place, value] of constants (what is not finite is text, as JavaScript writes it), `steps`
    [operation, place, *operands] in order, operations by the names of JAX's primitives and "to the
    n" for whole powers, and `out` the places of what the function returns, its leaves in order. Of
    `like` only the structure counts. Raises `NotElementwise` where the function does something else
    than arithmetic with scalars.
    """
    notes, out, _ = _traced(function, *like)
    return {
        "size": notes.size,
        "numbers": [[place, _in_json(value)] for place, value in notes.numbers.items()],
        "steps": [[step.name, step.place, *step.operands] for step in notes.needed_for(out)],
        "out": out,
    }


def _in_json(value: Any) -> float | str:
    """A number; as text where JSON has none for it."""
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _traced(function: Callable[..., Any], *like: Any) -> tuple[_Notes, list[int], Any]:
    """A function written down, the places of what it returns, and the structure of that."""
    scalar = jax.ShapeDtypeStruct((), np.float64)
    with in_double_precision():
        scalars = [jax.tree.map(lambda _: scalar, argument) for argument in like]
        traced, returned = jax.make_jaxpr(function, return_shape=True)(*scalars)
    total = len(jax.tree.leaves(like))
    notes = _Notes(total)
    return notes, notes.inline(traced, range(total)), jax.tree.structure(returned)


class _Step(NamedTuple):
    """An operation, where its operands are, where its result goes, and what is spent with it."""

    name: str
    operation: Operation
    operands: tuple[int, ...]
    place: int
    spent: tuple[int, ...] = ()


class Elementwise:
    """A function of scalars, run by NumPy in double precision over arrays that broadcast together.

    `f(*arguments)` is `f.prepared(arguments[-1])` and then `f.finished(arguments[:-1], ...)`: what
    depends on the last argument alone is computed once for many values of the others.
    """

    def __init__(self, function: Callable[..., Any], *like: Any) -> None:
        """Trace `function(*like)`; of `like` only the structure counts, every leaf is a scalar.

        Raises `NotElementwise` where NumPy could not run it.
        """
        self._given: list[Any] = [jax.tree.structure(argument) for argument in like]
        notes, self._out, self._returned = _traced(function, *like)
        total = len(jax.tree.leaves(like))
        self._begin = total - len(jax.tree.leaves(like[-1]))  # of the last argument's leaves
        needed = notes.needed_for(self._out)
        early = {*range(self._begin, total), *notes.numbers}
        first = []
        for step in needed:
            if early.issuperset(step.operands):
                early.add(step.place)
                first.append(step)
        later = [step for step in needed if step.place not in early]
        wanted = {i for step in later for i in step.operands} | {*self._out}
        self._kept = sorted((early & wanted) - {*notes.numbers})
        self._first = _with_spent(first, {*self._kept})
        self._later = _with_spent(later, {*self._out, *self._kept})
        self._numbers, self._size = notes.numbers, notes.size

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns for arguments whose leaves are arrays."""
        return self.finished(arguments[:-1], self.prepared(arguments[-1]))

    def prepared(self, last: Any) -> list[np.ndarray]:
        """What is computed from the last argument alone."""
        leaves = self._leaves([last], self._given[-1:])
        held = self._run(self._first, dict(enumerate(leaves, start=self._begin)))
        return [held[i] for i in self._kept]

    def finished(self, others: Sequence[Any], prepared: Sequence[np.ndarray]) -> Any:
        """What the function returns, from its other arguments and what was prepared."""
        leaves = self._leaves(others, self._given[:-1])
        there = dict(enumerate(leaves)) | dict(zip(self._kept, prepared, strict=True))
        held = self._run(self._later, there)
        return jax.tree.unflatten(self._returned, [held[i] for i in self._out])

    def _leaves(self, arguments: Sequence[Any], structures: Sequence[Any]) -> list[Any]:
        leaves = []
        for argument, structure in zip(arguments, structures, strict=True):
            leaves.extend(structure.flatten_up_to(argument))
        return leaves

    def _run(self, steps: Sequence[_Step], there: dict[int, Any]) -> list[Any]:
        held: list[Any] = [None] * self._size
        for place, value in (self._numbers | there).items():
            held[place] = value
        with np.errstate(all="ignore"):  # what is not finite is the caller's to refuse
            for _, operation, operands, place, spent in steps:
                held[place] = operation(*[held[i] for i in operands])
                for i in spent:  # arrays that die young stay in the processor's cache
                    held[i] = None
        return held


class Compiled:
    """The same by XLA, for two numbers of points: tables, draws and hold-outs come in all shapes.

    Compiled for each, a function would take longer to compile than to use.
    """

    def __init__(self, function: Callable[..., Any], *like: Any) -> None:
        self._given: list[Any] = [jax.tree.structure(argument) for argument in like]
        self._run = jax.jit(jax.vmap(function))

    def __call__(self, *arguments: Any) -> Any:
        """See `Elementwise`."""
        return self.finished(arguments[:-1], self.prepared(arguments[-1]))

    def prepared(self, last: Any) -> list[np.ndarray]:
        """See `Elementwise`."""
        return list(self._given[-1].flatten_up_to(last))

    def finished(self, others: Sequence[Any], prepared: Sequence[np.ndarray]) -> Any:
        """See `Elementwise`."""
        leaves = [jax.tree.leaves(others), list(prepared)]
        shape = np.broadcast_shapes(*(np.shape(leaf) for leaf in chain(*leaves)))
        flat = [np.broadcast_to(leaf, shape).reshape(-1) for leaf in chain(*leaves)]
        parts, first, total = [], 0, len(flat[0])
        while first < total:
            size = _MANY if total - first > _MANY // 2 else _FEW
            # The last is repeated to fill a call.
            points = np.minimum(np.arange(first, first + size), total - 1)
            some = iter([np.asarray(leaf[points], np.float64) for leaf in flat])
            arguments = [
                jax.tree.unflatten(structure, [next(some) for _ in range(structure.num_leaves)])
                for structure in self._given
            ]
            with in_double_precision():
                parts.append(self._run(*arguments))  # several at a time, while nobody waits
            first += size
        return jax.tree.map(
            lambda *found: np.concatenate([np.asarray(p) for p in found])[:total].reshape(shape),
            *parts,
        )


def _with_spent(steps: Sequence[_Step], kept: set[int]) -> list[_Step]:
    """The steps, each with the places of what no later one needs."""
    seen, out = set(kept), []
    for step in reversed(steps):
        out.append(step._replace(spent=tuple({*step.operands} - seen)))
        seen |= {*step.operands}
    return out[::-1]


class _Notes:
    """The operations of a function as they are written down; what they make has places.

    Attributes:
        size: how many places there are; the first are the arguments'.
        numbers: what is known already, by place.
        steps: in order.
    """

    def __init__(self, arguments: int) -> None:
        self.size = arguments
        self.numbers: dict[int, Any] = {}
        self.steps: list[_Step] = []
        self._place_of: dict[Any, int] = {}  # so that nothing is computed twice

    def inline(self, traced: ClosedJaxpr, arguments: Sequence[int]) -> list[int]:
        """Write a traced function down; the places of what it returns."""
        jaxpr = traced.jaxpr
        places = dict(zip(jaxpr.invars, arguments, strict=True))
        places |= dict(zip(jaxpr.constvars, map(self._number, traced.consts), strict=True))

        def place(atom: Any) -> int:
            return self._number(atom.val) if isinstance(atom, Literal) else places[atom]

        for eqn in jaxpr.eqns:
            operands = [place(atom) for atom in eqn.invars]
            inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
            if isinstance(inner, ClosedJaxpr) and eqn.primitive.name not in _LOOPS:
                found = self.inline(inner, operands)
            elif any(variable.aval.shape for variable in eqn.outvars):
                raise NotElementwise(f"{eqn.primitive.name} of an array")
            else:
                found = [self._result(eqn.primitive.name, eqn.params, operands)]
            places |= dict(zip(eqn.outvars, found, strict=True))
        return [place(atom) for atom in jaxpr.outvars]

    def needed_for(self, out: Sequence[int]) -> list[_Step]:
        """The steps that some of these places need."""
        needed, steps = set(out), []
        for step in reversed(self.steps):
            if step.place in needed:
                needed |= {*step.operands}
                steps.append(step)
        return steps[::-1]

    def _number(self, value: Any) -> int:
        if np.ndim(value):
            raise NotElementwise("an array of constants")
        number = np.asarray(value).item()
        place = self._new_place((type(number), repr(number)))
        self.numbers[place] = number
        return place

    def _new_place(self, key: Any) -> int:
        if key not in self._place_of:
            self._place_of[key] = self.size
            self.size += 1
        return self._place_of[key]

    def _result(self, name: str, params: dict[str, Any], operands: Sequence[int]) -> int:
        """The place of an operation's result."""
        if name in _UNCHANGED:
            return operands[0]
        if name == "mul":
            for one, other in (operands, reversed(operands)):
                if self.numbers.get(one) == 1.0:
                    return other
        name, operation = _numpy_operation(name, params, len(operands))
        key = (name, *operands)
        if key not in self._place_of:
            if self.numbers.keys() >= {*operands}:
                with np.errstate(all="ignore"):
                    found = operation(*(np.asarray(self.numbers[i]) for i in operands))
                self._place_of[key] = self._number(found)
            else:
                self.steps.append(_Step(name, operation, tuple(operands), self._new_place(key)))
        return self._place_of[key]


def _numpy_operation(name: str, params: dict[str, Any], count: int) -> tuple[str, Operation]:
    """A primitive's name with what tells it from others of that name, and NumPy's operation."""
    if name == "convert_element_type":
        kind = np.dtype(params["new_dtype"])
        if kind.name not in ("float64", "bool"):
            raise NotElementwise(f"numbers of type {kind}")
        return f"as {kind}", lambda x: np.asarray(x, dtype=kind)
    if name == "integer_pow":
        return f"to the {params['y']}", _integer_power(params["y"])
    if name not in _OPERATIONS or (name == "select_n" and count != 3):
        raise NotElementwise(name)
    return name, _OPERATIONS[name]


def _integer_power(exponent: int) -> Operation:
    def power(x: Any) -> Any:
        product = reduce(np.multiply, [x] * abs(exponent), 1.0)
        return product if exponent >= 0 else 1.0 / product

    return power
