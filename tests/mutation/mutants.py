"""Mutants: every small lie that can be told about a module, one at a time.

Each is the module's text with one place changed: the rest of it stays as it was written, so that
a mutant that survives can be read as a diff. Annotations, docstrings, imports and messages are left
alone: they decide nothing.
"""

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

Change = tuple[ast.expr | ast.stmt, str]
"""A piece of the tree, and the text that takes its place."""
Span = tuple[int, int, str]
"""From and to (in bytes), and the text that takes its place."""

OTHER_COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
OTHER_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.Mod: "//",
    ast.Pow: "*",
    ast.LShift: ">>",
    ast.BitOr: "&",
}
OTHER_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
WORD = re.compile(r"[A-Z][A-Z_]+|")
"""A string that something is decided by: a word of the law, or the empty one."""
UNDECIDED = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutant:
    """A module with one lie in it; `within` is the function or class where it is told.

    `statement`: the lines of which one at least is run by a test that can find it; empty where it
    is told while the module is loaded.
    """

    line: int
    within: str
    statement: frozenset[int]
    text: str
    removed: tuple[str, ...]
    added: tuple[str, ...]

    def diff(self, original: str, path: str) -> str:
        """What was changed, as a unified diff with a line around it."""
        hunks = difflib.unified_diff(
            original.splitlines(), self.text.splitlines(), path, path, n=1, lineterm=""
        )
        return "\n".join(list(hunks)[2:])


def mutants_of(text: str) -> list[Mutant]:
    """Every mutant of a module's text, in the order of the lines."""
    source = _Source(text)
    found: dict[str, Mutant] = {}
    for start, end, replacement, within in source.changes(source.tree, ()):
        mutated = (source.raw[:start] + replacement.encode() + source.raw[end:]).decode()
        if mutated not in found and _says_something_else(mutated, source.tree):
            found[mutated] = source.mutant(mutated, within)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _says_something_else(mutated: str, tree: ast.Module) -> bool:
    try:
        other = ast.parse(mutated)
    except SyntaxError:
        return False
    return ast.dump(other) != ast.dump(tree)


def _equal(some: list[str], others: list[str]) -> int:
    """How many lines are the same from the beginning."""
    pairs = enumerate(zip(some, others, strict=False))
    shorter = min(len(some), len(others))
    return next((at for at, (one, other) in pairs if one != other), shorter)


class _Source:
    """A module's text beside its tree."""

    def __init__(self, text: str) -> None:
        self.raw = text.encode()
        self.tree = ast.parse(text)
        lines = self.raw.splitlines(keepends=True)
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self._members = _members(self.tree)
        self.text = text

    def mutant(self, mutated: str, within: tuple[str, ...]) -> Mutant:
        """What a changed text says otherwise."""
        before, after = self.text.splitlines(), mutated.splitlines()
        first = _equal(before, after)
        last = _equal(before[first:][::-1], after[first:][::-1])
        removed, added = before[first : len(before) - last], after[first : len(after) - last]
        return Mutant(
            line=first + 1,
            within=".".join(within) or "module",
            statement=self._statement(range(first + 1, first + 1 + len(removed))),
            text=mutated,
            removed=tuple(line.strip() for line in removed),
            added=tuple(line.strip() for line in added),
        )

    def _statement(self, lines: range) -> frozenset[int]:
        """Lines, and all that belongs to the statements they are of, as far as functions go."""
        found: set[int] = set()
        for function in ast.walk(self.tree):
            if isinstance(function, Function):
                for part in _parts(function):
                    found.update(part if set(part) & set(lines) else ())
        return frozenset(found)

    def changes(
        self, node: ast.AST, within: tuple[str, ...]
    ) -> Iterator[tuple[int, int, str, tuple[str, ...]]]:
        """Every change below a node, and where in the module it is."""
        if isinstance(node, Function | ast.ClassDef):
            within = (*within, node.name)
        for start, end, replacement in self._own(node):
            yield start, end, replacement, within
        if isinstance(node, Function):
            for returned in _returns(node):
                for start, end, replacement in self._returned(node, returned):
                    yield start, end, replacement, within
        for child in _deciding(node):
            yield from self.changes(child, within)

    def _own(self, node: ast.AST) -> Iterator[Span]:
        """The changes of a node itself."""
        match node:
            case ast.Compare():
                yield from self._comparison(node)
            case ast.BoolOp():
                yield from self._connective(node)
            case ast.BinOp():
                yield from self._between(
                    node.left, node.right, _SYMBOLS.get(type(node.op), ""),
                    OTHER_ARITHMETIC.get(type(node.op), ""),
                )  # fmt: skip
            case ast.Tuple() | ast.List() | ast.Set():
                yield from self._display(node)
            case ast.Call():
                yield from self._call(node)
            case _:
                for piece, replacement in self._whole(node):
                    yield *self._span(piece), replacement

    def _whole(self, node: ast.AST) -> Iterator[Change]:
        """Nodes, a node's own or below it, that another text takes the place of as a whole."""
        match node:
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                yield node, f"({self._text(node.operand)})"
            case ast.Constant():
                for other in _other_constants(node.value):
                    yield node, other
            case ast.Attribute(value=ast.Name(id=owner), attr=member):
                members = self._members.get(owner, [])
                if member in members:
                    following = members[(members.index(member) + 1) % len(members)]
                    yield node, f"{owner}.{following}"
            case ast.If() | ast.IfExp():
                yield node.test, "True"
                yield node.test, "False"
            case ast.While():
                yield node.test, "False"
            case ast.comprehension():
                for condition in node.ifs:
                    yield condition, "True"
                    yield condition, "False"
            case ast.match_case(guard=ast.expr() as guard):
                yield guard, "True"
                yield guard, "False"
            case ast.Continue():
                yield node, "break"
            case ast.Break():
                yield node, "continue"
            case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
                pass  # nothing comes there
            case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
                yield node, "pass"
            case ast.Raise() | ast.AugAssign() | ast.Delete():
                yield node, "pass"
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield node, "pass"

    def _comparison(self, node: ast.Compare) -> Iterator[Span]:
        sides = [node.left, *node.comparators]
        for (left, right), operator in zip(pairwise(sides), node.ops, strict=True):
            for other in OTHER_COMPARISONS[type(operator)]:
                yield from self._between(left, right, _COMPARED[type(operator)], other)

    def _connective(self, node: ast.BoolOp) -> Iterator[Span]:
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from self._between(left, right, word, other)
        if len(node.values) == 2:
            for value in node.values:
                yield *self._span(node), f"({self._text(value)})"
        else:
            for dropped in node.values:
                kept = [self._text(value) for value in node.values if value is not dropped]
                yield *self._span(node), f"({f' {word} '.join(f'({text})' for text in kept)})"

    def _display(self, node: ast.Tuple | ast.List | ast.Set) -> Iterator[Span]:
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return
        for left, right in pairwise(node.elts):
            yield self._start(left), self._start(right), ""
            if not isinstance(node, ast.Set):
                between = self.raw[self._end(left) : self._start(right)].decode()
                swapped = f"{self._text(right)}{between}{self._text(left)}"
                yield self._start(left), self._end(right), swapped
        if len(node.elts) > 1:
            yield self._end(node.elts[-2]), self._end(node.elts[-1]), ""

    def _call(self, node: ast.Call) -> Iterator[Span]:
        if isinstance(node.func, ast.Name) and node.func.id in OTHER_CALLS:
            yield *self._span(node.func), OTHER_CALLS[node.func.id]
            if len(node.args) == 2 and node.func.id in {"min", "max"}:
                for kept in node.args:
                    yield *self._span(node), f"({self._text(kept)})"
        for keyword in node.keywords:
            if keyword.arg is not None:
                start, end = self._span(keyword)
                rest = re.match(rb"\s*,?\s*", self.raw[end:])
                yield start, end + (rest.end() if rest else 0), ""

    def _returned(self, function: Function, node: ast.Return) -> Iterator[Span]:
        assert node.value is not None
        wanted = "" if function.returns is None else ast.unparse(function.returns)
        others = {"bool": ("True", "False"), "int": ("0",)}.get(wanted, ())
        if wanted.endswith("| None"):
            others = ("None",)
        for other in others:
            yield *self._span(node.value), other

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Span]:
        """The operator between two expressions; there may be brackets and comments around it."""
        start, end = self._end(left), self._start(right)
        words = old.replace(" ", r"\s+")
        pattern = rf"\b{words}\b" if old[:1].isalpha() else re.escape(old)
        found = re.search(pattern, self.raw[start:end].decode()) if old and new else None
        if found is not None:
            yield start + found.start(), start + found.end(), new

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        return self._start(node), self._end(node)

    def _start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr) -> str:
        return self.raw[slice(*self._span(node))].decode()


_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_SYMBOLS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Div: "/", ast.Mod: "%",
    ast.Pow: "**", ast.LShift: "<<", ast.BitOr: "|",
}  # fmt: skip


def _other_constants(value: object) -> tuple[str, ...]:
    match value:
        case bool():
            return (repr(not value),)
        case int():
            return (str(value + 1), str(value - 1))
        case str() if WORD.fullmatch(value):
            return (repr(f"XX{value}"),)
        case _:
            return ()


def _deciding(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node without those that decide nothing."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases"}:
            continue
        if name == "slice" and isinstance(node, ast.Subscript) and _is_type(node.value):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, UNDECIDED):
                yield child


def _is_type(node: ast.expr) -> bool:
    """Whether what stands before square brackets is a type, as in `Callable[...]`."""
    names = {"dict", "list", "set", "tuple", "frozenset", "type"}
    return isinstance(node, ast.Name) and (node.id[0].isupper() or node.id in names)


def _returns(function: Function) -> Iterator[ast.Return]:
    """The returns of a value, without those of functions inside."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _parts(function: Function) -> Iterator[range]:
    """The lines of each simple statement in a function, and of the heads of the others."""
    for node in ast.walk(function):
        match node:
            case _ if node is function:
                pass
            case ast.match_case():
                yield range(node.pattern.lineno, node.body[0].lineno)
            case ast.Match():
                yield range(node.lineno, node.cases[0].pattern.lineno)
            case ast.If() | ast.While() | ast.For() | ast.With() | ast.Try():
                yield range(node.lineno, node.body[0].lineno)
            case ast.stmt(end_lineno=int(end)):
                yield range(node.lineno, end + 1)


def _members(tree: ast.Module) -> dict[str, list[str]]:
    """The members of enumerations that a module speaks of, by class, where it is several."""
    seen: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=attr) if attr.isupper():
                if owner[0].isupper() and attr not in seen.setdefault(owner, []):
                    seen[owner].append(attr)
    return {owner: members for owner, members in seen.items() if len(members) > 1}
