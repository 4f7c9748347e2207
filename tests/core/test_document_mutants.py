"""100,000 mutants of signed documents come: none is taken, nothing breaks, each has its name.

`python -m tests.mutants --count N --seed S` makes more of them, and others.
"""

import os
import re

import pytest

from gateway.core.signature import LENGTH_MAX
from tests.core.test_vectors import NOT_A_DOCUMENT
from tests.mutants.campaign import MakeDoor, campaign, handful, root_at
from tests.mutants.careless import CARELESS
from tests.mutants.changes import CHANGES, NO_ALGORITHM
from tests.mutants.herd import NAMES, doubts, herd
from tests.vectors.book import Library

COUNT = 100_000
SEED = 4
KNOWN = {line.word for line in Library().book.vectors} | set(NOT_A_DOCUMENT)


def test_no_mutant_is_taken_and_every_refusal_has_its_name() -> None:
    print(f"seed {SEED}: python -m tests.mutants --count {COUNT} --seed {SEED}")
    *_, found = campaign(COUNT, SEED, os.cpu_count() or 1)
    print(found.words)
    assert found.count == COUNT
    assert not found.accepted, found.accepted[0]
    assert not found.crashes, found.crashes[0]
    assert set(found.words) <= KNOWN
    assert set(found.changes) == {change.__name__ for change in CHANGES}
    refused = COUNT - found.words["ACCEPTED"] - found.words["DUPLICATE"]
    assert refused + found.same + found.followed == COUNT


@pytest.mark.parametrize("make", CARELESS, ids=lambda make: make.__name__)
def test_the_campaign_finds_a_careless_verifier_out(make: MakeDoor) -> None:
    found = handful(SEED, 0, 3_000, make)
    assert found.accepted
    assert not found.crashes


def test_a_healthy_document_is_taken_and_the_second_opinion_agrees() -> None:
    library = Library()
    for one in herd():
        assert library.word_of(one.line) in {"ACCEPTED", "DUPLICATE"}
        assert doubts(one.raw, one, root_at(one.line.name)) is None


def test_the_second_opinion_doubts_what_is_refused() -> None:
    library, receipt = Library(), herd()[NAMES.index("receipt")]
    for line in library.book.vectors:
        if re.match("j[1-5]-|es256-", line.name) and line.word != "ACCEPTED":
            assert doubts(library.read(line.file), receipt, root_at("receipt")) is not None


def test_a_seed_says_every_mutant() -> None:
    once, again = handful(7, 1_000, 200), handful(7, 1_000, 200)
    other = handful(8, 1_000, 200)
    assert (once.words, once.changes) == (again.words, again.changes)
    assert once.words != other.words


def test_no_algorithm_is_tried_in_every_case() -> None:
    assert len(set(NO_ALGORITHM)) == 16
    assert {name.lower() for name in NO_ALGORITHM} == {"none"}


@pytest.mark.parametrize("filling", [b"[", b"A", b"{", b'["A",'], ids=repr)
def test_what_is_longer_than_any_document_is_refused_unread(filling: bytes) -> None:
    longest = max(LENGTH_MAX.values())
    library = Library()
    door = library.door_of(library.line("receipt"))
    assert door(filling * (longest // len(filling) + 1)) == "TOO_LONG"
