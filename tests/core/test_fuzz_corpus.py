"""The corpus of the fuzzer is played on every run; what it once found stays found.

`python -m tests.fuzz --seconds N` looks for more, where atheris is installed.
"""

from pathlib import Path

import pytest

from tests.fuzz.target import CORPUS, WAYS, NotHeldError, check, one_input, seeds
from tests.mutants.herd import NAMES, herd

KEPT = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_everything_holds_for_a_kept_input(path: Path) -> None:
    one_input(path.read_bytes())


def test_everything_holds_for_every_healthy_document_in_every_way() -> None:
    for content in seeds().values():
        one_input(content)
    assert len(seeds()) == len(NAMES) * len(WAYS)


def test_the_corpus_has_inputs_of_every_way() -> None:
    assert {path.read_bytes()[1] % len(WAYS) for path in KEPT} == set(range(len(WAYS)))


@pytest.mark.parametrize(
    ("way", "raw"),
    [
        ("raw", b"x"),
        ("raw", herd()[0].raw[:-4] + b"AAAA"),
        ("header", b"e30." + b".".join(herd()[0].raw.split(b".")[1:])),
        ("payload", b"e30.eyJhIjoxLCJhIjoxfQ.AA"),  # a name twice
        ("payload", b"e30.eyJhIjoxLjV9.AA"),  # a fraction
    ],
)
def test_a_door_that_took_anything_would_be_found_out(way: str, raw: bytes) -> None:
    with pytest.raises(NotHeldError):
        check(herd()[0], way, raw, "ACCEPTED")


def test_a_refusal_without_a_name_would_be_found_out() -> None:
    with pytest.raises(NotHeldError):
        check(herd()[0], "raw", b"x", "no")
