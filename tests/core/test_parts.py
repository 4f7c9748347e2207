"""Parts: what was cut for several QR codes is whole again, or is refused by name."""

import json
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.parts import (
    HEAD_MAX,
    PARTS_MAX,
    Found,
    PartFlaw,
    Unjoinable,
    documents_of,
    join,
    on_one_line,
    split,
)
from gateway.core.signature import Rejected
from tests.signing import ROOT_RAW

ROOT_LINE = ROOT_RAW.decode()
RECEIPTS = ("eyJh.aaaa.bbbb", "eyJh.cccc.dddd")
SIZE = 200


def flaw_of(*lines: str) -> str:
    """How the joining of these lines is refused: the name, and what it says."""
    with pytest.raises(Unjoinable) as raised:
        join(lines)
    assert str(raised.value) == f"{raised.value.name}: {raised.value.detail}"
    return str(raised.value)


def test_a_root_is_whole_again_from_parts_in_any_order() -> None:
    parts = split((ROOT_LINE,), SIZE)
    assert len(parts) > 10
    assert all(len(part) <= SIZE for part in parts)
    assert all(part.startswith(f"FGQ1:{at}/{len(parts)}:") for at, part in enumerate(parts, 1))
    assert join(parts) == join(reversed(parts)) == join((*parts, *parts)) == (ROOT_LINE,)


@given(st.lists(st.text('abc.[]",', min_size=1), min_size=1), st.integers(1, 50), st.randoms())
def test_whatever_documents_are_cut_are_whole_again(
    documents: list[str], step: int, shuffler: Random
) -> None:
    assume(len(" ".join(documents)) <= step * PARTS_MAX)
    parts = list(split(documents, HEAD_MAX + step))
    shuffler.shuffle(parts)
    assert join(parts) == tuple(documents)


def test_a_chain_is_one_set() -> None:
    assert join(split((ROOT_LINE, ROOT_LINE), SIZE)) == (ROOT_LINE, ROOT_LINE)


def test_what_is_missing_is_named() -> None:
    parts = split((ROOT_LINE,), SIZE)
    said = flaw_of(*parts[:1], *parts[2:-1])
    assert said == f"MISSING_PART: 2, {len(parts)} of {len(parts)}; scan these too"
    assert flaw_of() == "MISSING_PART: there is none; scan them all"


def test_a_part_of_another_set_is_foreign() -> None:
    one, other = split((ROOT_LINE,), SIZE), split(RECEIPTS, HEAD_MAX + 10)
    said = flaw_of(*one, other[1])
    assert said.startswith(f"FOREIGN_PART: part 2/{len(other)} of {other[0].split(':')[2]} is not ")
    fewer = split((ROOT_LINE,), SIZE + 50)
    assert flaw_of(*one, fewer[0]).startswith("FOREIGN_PART: ")


def test_two_parts_of_one_place_are_not_of_one_set() -> None:
    parts = split((ROOT_LINE,), SIZE)
    assert flaw_of(*parts, parts[3][:-1] + "!").startswith("FOREIGN_PART: part 4/")


def test_a_changed_chunk_is_seen_by_the_digest() -> None:
    parts = split((ROOT_LINE,), SIZE)
    assert flaw_of(parts[0][:-1] + "!", *parts[1:]).startswith("WRONG_DIGEST: together they are ")


@pytest.mark.parametrize(
    "line",
    [
        "FGQ1:",
        "FGQ1:1/1:0123abcd:",
        "FGQ1:1/1:0123ABCD:x",
        "FGQ1:1/1:0123abc:x",
        "FGQ1:0/1:0123abcd:x",
        "FGQ1:01/1:0123abcd:x",
        "FGQ1:2/1:0123abcd:x",
        "FGQ1:1/513:0123abcd:x",
        "FGQ1:1/1000:0123abcd:x",
        "FGQ1:\u0661/1:0123abcd:x",
        "FGQ2:1/1:0123abcd:x",
        "eyJh.aaaa.bbbb",
    ],
)
def test_what_is_no_part_is_refused(line: str) -> None:
    assert flaw_of(line).startswith("MALFORMED_PART: ")


def test_what_would_take_too_many_codes_is_not_cut() -> None:
    assert len(split(("x" * PARTS_MAX,), HEAD_MAX + 1)) == PARTS_MAX
    with pytest.raises(Unjoinable) as raised:
        split(("x" * (PARTS_MAX + 1),), HEAD_MAX + 1)
    assert raised.value.name is PartFlaw.TOO_MANY_PARTS


def test_each_line_of_a_text_is_a_document() -> None:
    text = f"\r\n{RECEIPTS[0]}\r\n\n  {ROOT_LINE}\n{ROOT_LINE}\n{RECEIPTS[1]}"
    assert documents_of(text) == (
        Found(place="line 2", text=RECEIPTS[0]),
        Found(place="line 4", text=ROOT_LINE),
        Found(place="line 5", text=ROOT_LINE),
        Found(place="line 6", text=RECEIPTS[1]),
    )
    assert documents_of(" \n\n") == ()


def test_an_array_over_several_lines_stays_one() -> None:
    spread = json.dumps(json.loads(ROOT_RAW), indent=1)
    found = documents_of(f"{spread}\n{RECEIPTS[0]}\n{spread}\n")
    assert [one.place for one in found] == ["line 1", "line 5", "line 6"]
    assert [json.loads(found[at].text) for at in (0, 2)] == [json.loads(ROOT_RAW)] * 2
    assert found[1].text == RECEIPTS[0]
    assert on_one_line(found[0].text) == ROOT_LINE


def test_an_array_that_does_not_end_is_still_something_to_refuse() -> None:
    assert documents_of("[\n1\n\n2") == (Found(place="line 1", text="[\n1\n2"),)


def test_parts_in_a_text_are_joined_where_the_first_one_stands() -> None:
    parts = split((ROOT_LINE, ROOT_LINE), SIZE)
    text = "\n".join((RECEIPTS[0], *parts[3:], RECEIPTS[1], *parts[:3]))
    assert documents_of(text) == (
        Found(place="line 1", text=RECEIPTS[0]),
        Found(place="line 2, document 1", text=ROOT_LINE),
        Found(place="line 2, document 2", text=ROOT_LINE),
        Found(place=f"line {len(parts) - 1}", text=RECEIPTS[1]),
    )
    only = "\n".join(split((ROOT_LINE,), SIZE))
    assert documents_of(only) == (Found(place="line 1", text=ROOT_LINE),)


def test_a_text_with_a_part_missing_is_refused_whole() -> None:
    with pytest.raises(Unjoinable) as raised:
        documents_of("\n".join((RECEIPTS[0], *split((ROOT_LINE,), SIZE)[1:])))
    assert raised.value.name is PartFlaw.MISSING_PART


def test_one_line_is_made_only_of_what_is_a_document() -> None:
    assert on_one_line(RECEIPTS[0]) == RECEIPTS[0]
    with pytest.raises(Rejected):
        on_one_line("[1]")
