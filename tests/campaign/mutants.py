"""Mutants of a module: each is its source with one small thing changed."""

import ast
import copy
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
}
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_REMOVABLE = (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break)


@dataclass(frozen=True)
class Mutant:
    """One change: where, what, and the whole source with it."""

    number: int
    line: int
    what: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Return every mutant of a module's source, always in the same order."""
    found = []
    while True:
        changer = _Changer(len(found))
        tree = changer.visit(ast.parse(source))
        if not changer.what:
            break
        changed = ast.unparse(ast.fix_missing_locations(tree))
        found.append(Mutant(changer.number, changer.line, changer.what, changed))
    return found


class _Changer(ast.NodeTransformer):
    """Replaces one node: the one of change number `number`, counted from the top."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.line, self.what = 0, ""
        self._left = number

    def visit(self, node: ast.AST) -> ast.AST:
        """Change the node if it is its turn, else go on inside it."""
        changes = _replacements(node)
        if 0 <= self._left < len(changes):
            changed = changes[self._left]
            self.line = getattr(node, "lineno", 0)
            self.what = f"{_shown(node)}  ->  {_shown(changed)}"
            self._left = -1
            return ast.copy_location(changed, node)
        if self._left >= 0:
            self._left -= len(changes)
            self._visit_inside(node)
        return node

    def _visit_inside(self, node: ast.AST) -> None:
        """Leave out annotations, decorators, imports and texts: they are no behaviour."""
        skipped = {"annotation", "returns", "decorator_list"}
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr)) or _is_alias(node):
            return
        for name, value in ast.iter_fields(node):
            if name in skipped:
                continue
            if isinstance(value, list):
                value[:] = [self.visit(v) if isinstance(v, ast.AST) else v for v in value]
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))


def _is_alias(node: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation)


def _shown(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:80]


def _replacements(node: ast.AST) -> list[ast.AST]:
    """Return what may stand in a node's place."""
    found: list[ast.AST] = []
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                found.append(_with(node, ops=ops))
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in _ARITHMETIC:
        found.append(_with(node, op=_ARITHMETIC[type(node.op)]()))
    elif isinstance(node, ast.BoolOp):
        found.append(_with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        found.append(node.operand)
    elif isinstance(node, ast.Constant):
        found += [_with(node, value=value) for value in _other_values(node.value)]
    elif isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        found.append(_with(node, value=ast.Constant(None)))
    elif isinstance(node, (ast.If, ast.IfExp)):
        found.append(_with(node, test=ast.UnaryOp(ast.Not(), node.test)))
    elif isinstance(node, ast.Name) and node.id in _SWAPPED:
        found.append(_with(node, id=_SWAPPED[node.id]))
    elif isinstance(node, ast.Attribute) and node.attr in _SWAPPED:
        found.append(_with(node, attr=_SWAPPED[node.attr]))
    if isinstance(node, _REMOVABLE) and not _is_docstring(node):
        found.append(ast.Pass())
    return found


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _other_values(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    return [value + 1, value - 1] if isinstance(value, (int, float)) else []


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
