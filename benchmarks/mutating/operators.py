"""What may be wrong in a line of Python: every small change of a module that its tests should notice."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_NEGATED = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_BORDER = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
# Not looked into: what is never executed, texts, and what only says something.
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_params", "bases", "exc", "msg"}
_SKIPPED_NODES = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)


@dataclass
class Mutation:
    """A change of one node of a syntax tree: `child` of `parent` (an item of a list by `index`) becomes `new`.

    `inside` is the qualified name of the function that it lies in, None: the module or a class.
    """

    parent: ast.AST
    child: str
    index: int | None
    old: Any
    new: Any
    inside: str | None

    def apply(self) -> None:
        """Changes the tree that it was found in."""
        for node in ast.walk(self.new):
            ast.copy_location(node, self.old)
        if self.index is None:
            setattr(self.parent, self.child, self.new)
        else:
            getattr(self.parent, self.child)[self.index] = self.new

    def texts(self) -> tuple[str, str]:
        """The node before and after; of a slice, with what it is taken of."""
        if isinstance(self.old, ast.Slice):
            return ast.unparse(self.parent), f"[{ast.unparse(self.new)}]"
        return ast.unparse(self.old), ast.unparse(self.new)


def mutations(tree: ast.Module) -> list[Mutation]:
    """Every mutation of a module, always in the same order."""
    return list(_inside(tree, None))


def _inside(parent: ast.AST, function: str | None, prefix: str = "") -> Iterator[Mutation]:
    for name, value in ast.iter_fields(parent):
        if name in _SKIPPED_FIELDS:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, _SKIPPED_NODES) or _says(child) or _declares(child):
                continue
            if not (isinstance(parent, ast.arguments) and name != "defaults" and name != "kw_defaults"):
                condition = name == "test" and isinstance(parent, ast.If | ast.While | ast.IfExp)
                is_type = function is None and isinstance(child, ast.BinOp) and isinstance(child.op, ast.BitOr)
                for new in _replaced(child, condition) if not is_type else ():
                    yield Mutation(parent, name, index, child, new, function)
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                qualified = prefix + child.name
                is_function = isinstance(child, ast.FunctionDef)
                within = f"{qualified}.<locals>." if is_function else f"{qualified}."
                yield from _inside(child, qualified if is_function else function, within)
            else:
                yield from _inside(child, function, prefix)


def _says(node: ast.AST) -> bool:
    """Whether it is a docstring, a message for a log or a branch for type checkers."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if not isinstance(node, ast.Expr):
        return False
    return isinstance(node.value, ast.Constant) or ast.unparse(node.value).startswith(
        ("logging.", "_log.", "warnings.")
    )


def _declares(node: ast.AST) -> bool:
    """Whether it only tells a type checker of one way to call a function."""
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "overload" for d in node.decorator_list)


def _replaced(node: ast.AST, condition: bool) -> Iterator[ast.AST]:
    """What a node may become; `condition`: it decides on a branch."""
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BinOp) and type(node.op) in _SWAPPED:
        yield _with(node, op=_SWAPPED[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield copy.deepcopy(node.operand)
    elif isinstance(node, ast.Slice):
        yield from (_with(node, **{bound: None}) for bound in ("lower", "upper") if getattr(node, bound) is not None)
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield copy.deepcopy(node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    if condition and not isinstance(node, ast.Compare | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), copy.deepcopy(node))


def _statements(node: ast.stmt) -> Iterator[ast.stmt]:
    if isinstance(node, ast.AugAssign):
        yield ast.Pass()
        if type(node.op) in _SWAPPED:
            yield _with(node, op=_SWAPPED[type(node.op)]())
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))
    elif _may_go(node):
        yield ast.Pass()


def _may_go(node: ast.stmt) -> bool:
    """Whether the lines after a statement still have all names without it."""
    if isinstance(node, ast.Assign):
        return not any(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return is_call or isinstance(node, ast.Raise | ast.Continue | ast.Break)


def _constants(value: Any) -> Iterator[ast.AST]:
    """Truth is turned round, one is added, a float's sign is changed; texts stay."""
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        if isinstance(value, float) and value:
            yield ast.UnaryOp(ast.USub(), ast.Constant(value))


def _comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    """Every one negated; those with counts moved by one as well (of floats, equality hardly ever happens)."""
    counted = any(
        (isinstance(side, ast.Constant) and type(side.value) is int) or ast.unparse(side).startswith("len(")
        for side in (node.left, *node.comparators)
    )
    for i, op in enumerate(node.ops):
        for table in (_NEGATED, _BORDER) if counted else (_NEGATED,):
            if type(op) in table:
                yield _with(node, ops=[*node.ops[:i], table[type(op)](), *node.ops[i + 1 :]])


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    """Each named argument is left out, and the last of several others."""
    for i, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])
    if len(node.args) > 1 and not isinstance(node.args[-1], ast.Starred):
        yield _with(node, args=node.args[:-1])


def _with(node: Any, **changes: Any) -> Any:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return copy.deepcopy(changed)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
