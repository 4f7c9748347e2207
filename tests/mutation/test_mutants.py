"""The mutator itself: what it changes, what it leaves alone, and how a survivor is accepted."""

import textwrap

import pytest

from tests.mutation.accepted import NotReadableError, name_of, read
from tests.mutation.mutants import mutants_of

CHANGES: list[tuple[str, str, set[str]]] = [
    ("an edge and its other side", "a < b", {"a <= b", "a >= b"}),
    ("a comparison over two lines", "(a is\n not b)", {"(a is b)"}),
    ("each link of a chain", "a < b <= c",
     {"a <= b <= c", "a >= b <= c", "a < b < c", "a < b > c"}),
    ("a connective and each of its sides", "a and b", {"a or b", "(a)", "(b)"}),
    ("a connective of three", "a or b or c",
     {"a and b or c", "a or b and c", "((b) or (c))", "((a) or (c))", "((a) or (b))"}),
    ("a not", "not a", {"(a)"}),
    ("a number and its neighbours", "15", {"16", "14"}),
    ("a truth", "True", {"False"}),
    ("a word of the law", '"NOT_PAID"', {"'XXNOT_PAID'"}),
    ("no message", 'f"{a} homes of {b}", "the cool-down is over"',
     {'"the cool-down is over", f"{a} homes of {b}"', '"the cool-down is over"',
      'f"{a} homes of {b}"'}),
    ("arithmetic", "a + b * c", {"a - b * c", "a + b // c"}),
    ("the smaller and the larger", "min(a, b)", {"max(a, b)", "(a)", "(b)"}),
    ("some and all", "any(a)", {"all(a)"}),
    ("what is given by name", "f(a, b=c)", {"f(a, )"}),
    ("a choice", "a if b else c", {"a if True else c", "a if False else c"}),
    ("what is chosen from many", "[a for a in b if c]",
     {"[a for a in b if True]", "[a for a in b if False]"}),
    ("one guard less, and two neighbours swapped", "(a, b)", {"(b)", "(b, a)", "(a)"}),
    ("a member, where its class has others", "A.X, A.Y", {"A.Y", "A.Y, A.X", "A.X", "A.Y, A.Y",
     "A.X, A.X"}),
    ("no type", "Callable[[int, 1], bool]", set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "others"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_what_an_expression_is_changed_to(text: str, others: set[str]) -> None:
    assert {mutant.text.removeprefix("x = ") for mutant in mutants_of(f"x = {text}")} == others


STATEMENTS: list[tuple[str, str, set[str]]] = [
    ("a condition", "if a:\n    b = c", {"if True:", "if False:"}),
    ("what is raised", "raise a", {"pass"}),
    ("what is done", "a(b)", {"pass"}),
    ("nothing where nothing comes", "assert_never(a)", set()),
    ("what is yielded", "yield a", {"pass"}),
    ("what is kept", "a[b] = c", {"pass"}),
    ("an end of a loop", "while a:\n    break", {"while False:", "continue"}),
    ("a verdict", "return a", {"return True", "return False"}),
]


@pytest.mark.parametrize(
    ("text", "others"), [row[1:] for row in STATEMENTS], ids=[row[0] for row in STATEMENTS]
)
def test_what_a_statement_is_changed_to(text: str, others: set[str]) -> None:
    mutants = mutants_of("def f() -> bool:\n" + textwrap.indent(text, "    "))
    assert {line for mutant in mutants for line in mutant.added} == others
    assert {mutant.within for mutant in mutants} <= {"f"}


def test_a_test_that_runs_any_line_of_a_statement_may_find_what_was_changed_in_it() -> None:
    text = "A = 1\n\n\ndef f() -> bool:\n    if (\n        a\n        and b\n    ):\n        c()\n"
    lines = {mutant.added[0]: mutant.statement for mutant in mutants_of(text)}
    assert lines["or b"] == {5, 6, 7, 8}
    assert lines["pass"] == {9}
    assert lines["A = 2"] == set(), "run when the module is loaded: any test may"


def test_a_survivor_is_accepted_as_it_is_printed_with_a_reason_under_it() -> None:
    path, text = "gateway/core/one.py", "def f(a, b):\n    return a < b\n"
    mutant = mutants_of(text)[0]
    printed = f"{path}:{mutant.line} in {mutant.within}\n{mutant.diff(text, path)}\n"
    accepted = read(f"# Survivors.\n\n{printed}because a never is b\n")
    assert accepted == {name_of(mutant, path): "a never is b"}


@pytest.mark.parametrize("text", ["one.py:1 in f\n-a\n+b", "one.py:1\n-a\n+b\nbecause it is"])
def test_without_a_reason_or_a_place_nothing_is_accepted(text: str) -> None:
    with pytest.raises(NotReadableError):
        read(text)
