"""The house keeps tidy: sizes, docstrings, directions, style and types, checked on every run."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
TOP_LEVEL = (
    "README.md", "LICENSE", "pyproject.toml", ".gitignore", ".ci",
    "gateway", "systemd", "hardware", "tests",
)  # fmt: skip
LINES_MAX = 400
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
NESTING_MAX = 3
SCRIPTS = Path(sys.executable).parent
TOOLS = {
    "lint-imports": [str(SCRIPTS / "lint-imports")],
    "ruff check": [sys.executable, "-m", "ruff", "check", "."],
    "ruff format": [sys.executable, "-m", "ruff", "format", "--check", "--diff", "."],
    "mypy": [sys.executable, "-m", "mypy"],
}
MACHINE_PATH = re.compile(r"(?<![\w./})-])/(?:" + "|".join(("work", "root")) + r")(?![\w-])")
"""A path that exists on one machine only."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
NESTING = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar,
    ast.Match,
)  # fmt: skip


def files() -> Iterator[Path]:
    """Every file of the repository, without what running it leaves behind."""
    for name in TOP_LEVEL:
        top = CHECKOUT / name
        found = sorted(top.rglob("*")) if top.is_dir() else [top]
        yield from (path for path in found if path.is_file() and "__pycache__" not in path.parts)


def modules() -> list[Path]:
    """Every Python file."""
    return [path for path in files() if path.suffix == ".py"]


def named(path: Path) -> str:
    """A path as it is spoken of."""
    return str(path.relative_to(CHECKOUT))


each_module = pytest.mark.parametrize("path", modules(), ids=named)


@each_module
def test_a_file_is_short_enough_to_be_read_at_once(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES_MAX
    long = [number for number, line in enumerate(lines, start=1) if len(line) > COLUMNS_MAX]
    assert not long, f"lines beyond {COLUMNS_MAX} columns"


@each_module
def test_a_function_is_short_and_flat(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    for function in ast.walk(tree):
        if isinstance(function, Function):
            assert function.end_lineno is not None
            lines = function.end_lineno - function.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{function.name} has {lines} lines"
            depth = nesting(function)
            assert depth <= NESTING_MAX, f"{function.name} is nested {depth} deep"


@each_module
def test_a_module_says_what_it_owns_and_what_it_must_never_do(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    assert docstring, "a module begins with what it is"
    if path.is_relative_to(CHECKOUT / "gateway") and path.name != "__init__.py":
        text = " ".join(docstring.split())
        assert re.search(r"\bOwns\b", text), "the docstring says what the module owns"
        assert re.search(r"\bMust never\b", text), "the docstring says what it must never do"


@each_module
def test_imports_are_absolute(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_bytes())) if is_relative(node)]
    assert not imports


@pytest.mark.parametrize("command", TOOLS.values(), ids=TOOLS.keys())
def test_the_tools_have_nothing_to_say(command: list[str]) -> None:
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_no_file_names_a_place_of_one_machine() -> None:
    places = [
        f"{named(path)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not places, "\n".join(places)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cd {}/main", True),
        ("open('{}')", True),
        ("state = \"{}/x\"", True),
        ("topic {{root}}/v1 and a frame{}/y", False),
        ("the folder of{}-shops", False),
    ],
)  # fmt: skip
def test_a_place_of_one_machine_is_known_when_it_is_seen(line: str, found: bool) -> None:
    for place in ("work", "root"):
        assert bool(MACHINE_PATH.search(line.format(f"/{place}"))) is found


def nesting(node: ast.AST, chained: bool = False) -> int:
    """How deep the deepest statement of a function stands in others; an elif is no step deeper."""
    own = 0 if chained or not isinstance(node, NESTING) else 1
    depths = [
        nesting(child, chained=is_elif(node, child))
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, Function | ast.Lambda | ast.ClassDef)
    ]
    return own + max(depths, default=0)


def is_elif(node: ast.AST, child: ast.AST) -> bool:
    """Whether the child is the elif of this if."""
    return isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]


def is_relative(node: ast.AST) -> bool:
    """Whether it is an import from a place that depends on where it stands."""
    return isinstance(node, ast.ImportFrom) and node.level > 0


def text_of(path: Path) -> str:
    """A file's text; of one that is no text, nothing."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
