"""The vectors for authors of head ends: each is played through the real door, from the files."""

import re
from pathlib import Path

import pytest

from gateway.core.disconnection import OPEN_GUARDS, RELEASE_GUARDS, OpenVerdict
from gateway.core.orders import Act
from gateway.core.papers import KEY_REVOKED
from gateway.core.signature import DocumentType, Flaw, claimed_by, tokens_of
from gateway.core.trust import Algorithm
from tests.vectors import pairs
from tests.vectors.book import FOLDER, Library, files
from tests.vectors.scene import CLOCKS, Line

CORE = Path(__file__).parents[2] / "gateway" / "core"
NOT_A_DOCUMENT = {
    "TOO_MANY_STEPS": "takes a chain of 1,025 roots",
    "TOO_MANY_ENTRIES": "takes two lists of 25,001 accounts",
    "TOO_MANY_ORDERS": "takes nine reads that have not ended",
    "CANCELED": "said of an order that was accepted before",
    "JOURNAL_DEGRADED": "said while the disk takes no document",
    "NOT_BY_HAND": "said of what a person enters, no document",
    "ALREADY_CONNECTED": "said of what a person enters, no document",
}
"""Words that no single small file can bring about."""
LIBRARY = Library()
LINES = LIBRARY.book.vectors


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_a_vector_gets_the_word_that_its_line_says(line: Line) -> None:
    assert LIBRARY.word_of(line) == line.word, line.why


def test_the_files_are_those_that_the_command_writes() -> None:
    made = files()
    lie_there = {
        str(path.relative_to(FOLDER))
        for path in FOLDER.rglob("*")
        if path.is_file() and path.suffix in {".json", ".jws"}
    }
    assert lie_there == set(made)
    changed = [name for name, content in made.items() if LIBRARY.read(name) != content]
    assert not changed, "python -m tests.vectors writes them anew"


def test_every_word_that_a_document_can_get_has_a_vector() -> None:
    refusals = "".join(path.read_text(encoding="utf-8") for path in sorted(CORE.glob("*.py")))
    words = set(re.findall(r'(?:Unsound|refused)\(\s*"([A-Z_]+)"', refusals))
    words |= {str(flaw) for flaw in Flaw} | {"ACCEPTED", "DUPLICATE"}
    words |= {str(verdict) for verdict, _ in (*OPEN_GUARDS, *RELEASE_GUARDS)}
    words |= {str(OpenVerdict.BULK_CEILING), KEY_REVOKED}
    shown = {line.word for line in LINES}
    assert words - shown == set(NOT_A_DOCUMENT)
    assert shown <= words, "a vector expects a word that nothing in core says"


def test_every_type_is_shown_good_and_bad() -> None:
    for kind in DocumentType:
        words = {line.word for line in LINES if line.type == kind}
        assert "ACCEPTED" in words
        assert len(words) > 1


def test_every_kind_of_order_is_shown_accepted() -> None:
    kinds = {str(act.__struct_config__.tag).replace("_", "-") for act in Act.__args__}
    accepted = {line.name for line in LINES if line.word == "ACCEPTED"}
    assert {f"order-{kind}" for kind in kinds} <= accepted


def test_both_algorithms_are_shown_accepted_under_every_name() -> None:
    heads = [
        token.split(b".")[0]
        for line in LINES
        if line.word == "ACCEPTED"
        for token in tokens_of(LIBRARY.read(line.file))
    ]
    assert len(set(heads)) >= len([*Algorithm, "EdDSA"])
    assert {"receipt", "receipt-es256", "receipt-eddsa"} <= {line.name for line in LINES}


def test_every_clock_is_used_by_a_vector_and_every_vector_has_a_reason() -> None:
    assert {line.scene.clock for line in LINES} == set(CLOCKS)
    assert all(line.why.endswith((".", "?")) for line in LINES)


def test_what_a_vector_claims_to_be_is_what_its_bytes_claim() -> None:
    for line in LINES:
        if line.word == "ACCEPTED":
            said = claimed_by(tokens_of(LIBRARY.read(line.file))[0])
            assert said.type == line.type


def test_the_order_of_the_rules_is_shown_by_every_two_of_them() -> None:
    shown = {line.name for line in LINES if line.name.startswith("pair-")}
    count = len(pairs.FAULTS) * (len(pairs.FAULTS) - 1) // 2
    assert len(shown) == count - len(pairs.NOT_TOGETHER)


def test_a_book_that_expects_the_wrong_word_is_found_out() -> None:
    by_name = {line.name: line for line in LINES}
    assert LIBRARY.word_of(by_name["receipt"]) != by_name["receipt-again"].word
    assert LIBRARY.word_of(by_name["j3-alg-none"]) != "ACCEPTED"
