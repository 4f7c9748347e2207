"""`evidence --verify` on files that were tampered with: what is proven, and where it ends."""

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from gateway.console.evidence import evidence
from gateway.console.evidence_file import lines_in
from gateway.console.evidence_verify import Asked, device_key_of, prove
from gateway.core.records import Started
from gateway.core.signature import claimed_by, digest_of
from gateway.core.trust import Algorithm
from gateway.host.identity import Identity
from tests.rooms.console.evidence_files import (
    DEVICE,
    STRANGER,
    Written,
    judged,
    receipt,
    said,
    whole,
)
from tests.signing import ROOT_RAW, sign_receipt

RECORDS = 8
ANCHOR = (ROOT_RAW,)
KEY = device_key_of(DEVICE.public)


def is_record(line: bytes) -> bool:
    return line.startswith(b'{"chain"')


def record_at(lines: list[bytes], number: int) -> int:
    """The line of that record."""
    return [at for at, line in enumerate(lines) if is_record(line)][number - 1]


def test_a_whole_file_holds(tmp_path: Path) -> None:
    proof = judged(tmp_path, whole().lines, roots=ANCHOR)
    assert proof.holds
    assert (proof.first, proof.proven_from, proof.last) == (1, 1, RECORDS)
    assert proof.signed is not None
    assert (proof.signed.gateway, proof.signed.number) == ("rewa-7", RECORDS)
    assert (proof.seals, proof.documents, proof.missing_count) == (3, 2, 0)


def test_every_bit_of_every_line_counts() -> None:
    """But those that only the root of trust answers for: a signature under a document."""
    lines = whole().lines
    for at in (0, 1, 2, 3, len(lines) - 1):  # a record, one with a seal, a document, its record
        line = lines[at]
        signed_by_others = b'{"document"' in line
        end = line.rindex(b".") if signed_by_others else len(line)
        begin = line.index(b".") if signed_by_others else 0
        for bit in range(8 * begin, 8 * end):
            flipped = bytearray(line)
            flipped[bit // 8] ^= 1 << bit % 8
            file = io.BytesIO(b"".join([*lines[:at], bytes(flipped), *lines[at + 1 :]]))
            proof = prove(lines_in(file), Asked(key=KEY, roots=None), lambda _: None)
            assert not proof.holds, (at, bit, bytes(flipped))


def test_every_bit_of_a_document_counts_by_the_root(tmp_path: Path) -> None:
    lines = whole().lines
    at = next(at for at, line in enumerate(lines) if b'{"document"' in line)
    for place in range(len(b'{"document":"'), len(lines[at]) - len(b'"}\n'), 5):
        flipped = bytearray(lines[at])
        flipped[place] ^= 1
        tampered = [*lines[:at], bytes(flipped), *lines[at + 1 :]]
        assert not judged(tmp_path, tampered, roots=ANCHOR).holds, place


@pytest.mark.parametrize("number", range(2, RECORDS))
def test_a_record_taken_out_ends_the_chain(tmp_path: Path, number: int) -> None:
    lines = whole().lines
    del lines[record_at(lines, number)]
    proof = judged(tmp_path, lines)
    assert not proof.holds
    assert proof.broken == f"the chain breaks: record {number + 1} follows record {number - 1}"
    assert proof.last == number - 1


def test_the_last_record_taken_out_leaves_a_seal_for_more(tmp_path: Path) -> None:
    lines = whole().lines
    del lines[record_at(lines, RECORDS)]
    broken = judged(tmp_path, lines).broken
    assert broken == "the seal after record 7 is for another chain: it signs record 8"


@pytest.mark.parametrize("number", range(1, RECORDS))
def test_two_records_that_change_places_end_it(tmp_path: Path, number: int) -> None:
    lines = whole().lines
    here, there = record_at(lines, number), record_at(lines, number + 1)
    lines[here], lines[there] = lines[there], lines[here]
    proof = judged(tmp_path, lines)
    assert not proof.holds
    assert proof.broken.startswith("the chain breaks")


def test_wherever_it_is_cut_off_it_does_not_hold(tmp_path: Path) -> None:
    content = b"".join(whole().lines)
    for length in range(len(content) - 1):
        file = io.BytesIO(content[:length])
        proof = prove(lines_in(file), Asked(key=KEY, roots=None), lambda _: None)
        assert not proof.holds, length
    assert judged(tmp_path, [content[:-1]]).holds, "the last line's end is no content"


def test_without_its_last_line_the_end_is_unsigned(tmp_path: Path) -> None:
    proof = judged(tmp_path, whole().lines[:-1])
    assert (proof.holds, proof.broken, proof.last) == (False, "", RECORDS)
    assert proof.signed is not None
    assert proof.signed.number == RECORDS - 2


def test_records_after_the_seal_are_unsigned(tmp_path: Path) -> None:
    written = whole()
    written.record(Started(version="1"))
    proof = judged(tmp_path, written.lines)
    assert (proof.holds, proof.broken) == (False, "")
    assert proof.signed is not None
    assert (proof.signed.number, proof.last) == (RECORDS, RECORDS + 1)


def test_a_rewritten_chain_has_no_seal_of_the_device(tmp_path: Path) -> None:
    """Who changes a record can make every hash after it anew; sign for them he cannot."""
    forged = Written()
    forged.record(Started(version="1"), Started(version="forged"))
    forged.lines.append(whole().lines[-1])
    proof = judged(tmp_path, forged.lines)
    assert proof.broken == "the seal after record 2 is for another chain: it signs record 8"


def another_in_the_chain() -> Written:
    written = Written()
    written.record(Started(version="1"))
    written.sealed(STRANGER)
    written.seal()
    return written


def another_at_the_end() -> Written:
    written = Written()
    written.record(Started(version="1"))
    written.seal(STRANGER)
    return written


def of_another_gateway() -> Written:
    written = Written()
    written.record(Started(version="1"))
    written.seal()
    written.seal(Identity.make("rewa-8"))
    return written


def of_another_chain() -> Written:
    written = whole()
    chain = bytes(32)
    written.lines[-1] = msgspec.json.encode({"seal": said(DEVICE, RECORDS, chain)}) + b"\n"
    return written


def no_seal_at_all() -> Written:
    written = Written()
    written.record(Started(version="1"))
    written.lines.append(b'{"seal":"\\ud83d\\ude00.b.c"}\n')
    return written


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (another_in_the_chain, "the seal in record 2 is not this device's: BAD_SIGNATURE"),
        (another_at_the_end, "the seal after record 1 is not this device's: BAD_SIGNATURE"),
        (of_another_gateway, "the seal after record 1 is not this device's: UNKNOWN_KEY"),
        (of_another_chain, "the seal after record 8 is for another chain"),
        (no_seal_at_all, "the seal after record 1 is not this device's: MALFORMED_ENVELOPE"),
    ],
)
def test_a_seal_of_somebody_else_or_for_something_else(
    tmp_path: Path, made: Callable[[], Written], words: str
) -> None:
    assert judged(tmp_path, made().lines).broken.startswith(words)


def test_without_a_key_nobody_signed(tmp_path: Path) -> None:
    proof = judged(tmp_path, whole().lines, key=None)
    assert (proof.holds, proof.broken, proof.signed) == (False, "", None)
    assert (proof.first, proof.last) == (1, RECORDS)


def test_what_begins_in_the_middle_is_proven_from_the_second_on(tmp_path: Path) -> None:
    lines = whole().lines
    later = lines[record_at(lines, 4) :]
    proof = judged(tmp_path, later)
    assert proof.holds
    assert (proof.first, proof.proven_from, proof.last) == (4, 5, RECORDS)


def test_a_middle_that_begins_with_a_seal_takes_nothing_from_it(tmp_path: Path) -> None:
    lines = whole().lines
    proof = judged(tmp_path, lines[record_at(lines, 7) :])
    assert (proof.holds, proof.first, proof.seals) == (True, 7, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{}", "line 2 is no record, document or seal"),
        (b'{"seal":"a","document":"b"}', "line 2 is no record, document or seal"),
        (b'{"seal":"a","more":1}', "line 2 is no record, document or seal ("),
        (b'{"seal":"\xff"}', "line 2 is no record, document or seal ("),
        (b"[" * 20_000, "line 2 is no record, document or seal ("),
        (b"x" * (5 * 1024 * 1024), "line 2 is no record, document or seal (it is too long)"),
        (b'{"document":"no document"}', "after record 1: no document (MALFORMED_ENVELOPE"),
        (b'{"document":"\\ud83d\\ude00"}', "after record 1: no document (MALFORMED_ENVELOPE"),
        (b'{"chain":"00","record":{"body":"\xff"}}', "the chain breaks at record 2: it cannot be"),
    ],
)
def test_a_line_that_is_none_of_them_ends_the_reading(
    tmp_path: Path, line: bytes, words: str
) -> None:
    written = Written()
    written.record(Started(version="1"))
    assert judged(tmp_path, [*written.lines, line + b"\n"]).broken.startswith(words)


def test_an_empty_file_proves_nothing(tmp_path: Path) -> None:
    proof = judged(tmp_path, [b"\n"])
    assert (proof.holds, proof.broken, proof.first) == (False, "no records", None)


@pytest.mark.parametrize("by_file", [False, True])
@pytest.mark.parametrize("form", ["enrolment", "Ed25519 {}", "{}"])
def test_the_device_is_named_as_init_prints_it(tmp_path: Path, form: str, by_file: bool) -> None:
    text = form.format(DEVICE.public)
    if form == "enrolment":
        text = msgspec.json.encode(DEVICE.enrolment(1, "0" * 64)).decode()
    if by_file:
        (tmp_path / "device").write_text(f"{text}\n", encoding="utf-8")
    named = device_key_of(str(tmp_path / "device") if by_file else text)
    assert (named.alg, named.public) == (Algorithm.ED25519, DEVICE.public)
    assert judged(tmp_path, whole().lines, key=text).holds


@pytest.mark.parametrize("wrong", ["", "AAAA", "RS256 AAAA", "{}", "no such file", "x" * 5_000])
def test_a_key_that_is_none_is_wrong_use(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "file").write_bytes(b"".join(whole().lines))
    options = ["--verify", str(tmp_path / "file"), "--device-key", wrong]
    result = CliRunner().invoke(evidence, options)
    assert result.exit_code == 2
    assert "--device-key: " in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--verify", "{}", "--account", "A1"], "--verify goes without --account"),
        (["--verify", "{}", "--from", "{}"], "--verify goes without --from"),
        (["--export", "{}", "--day", "2026-11-19"], "--export goes without --day"),
        (["--device-key", "AAAA"], "--device-key goes with --verify"),
        (["--with-pins"], "--with-pins goes with --export"),
        (["--verify", "{}", "--root", "{}"], "--root: MALFORMED_ENVELOPE"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: list[str], words: str) -> None:
    (tmp_path / "file").write_bytes(b"".join(whole().lines))
    given = [option.format(tmp_path / "file") for option in options]
    result = CliRunner().invoke(evidence, given)
    assert result.exit_code == 2
    assert words in result.stderr


def test_it_is_said_in_words(tmp_path: Path) -> None:
    lines = whole().lines
    file = tmp_path / "file"
    file.write_bytes(b"".join(lines[record_at(lines, 4) : -1]))
    told = CliRunner().invoke(evidence, ["--verify", str(file), "--device-key", DEVICE.public])
    said_of = told.stdout
    assert "records 4 to 8 are unbroken and end in " in said_of
    assert "proven from record 5 on: what record 4 says cannot be checked" in said_of
    assert "signed     by the key of gateway rewa-7 up to record 6, last at " in said_of
    assert "nobody signed for records 7 to 8" in said_of
    assert said_of.endswith("verdict    NOT PROVEN as a whole\n")
    file.write_bytes(b"".join(lines))
    told = CliRunner().invoke(evidence, ["--verify", str(file)])
    assert "nobody signed for them, as far as is known here: give --device-key" in told.stdout


def test_a_record_that_names_no_document_of_the_file(tmp_path: Path) -> None:
    lines = [line for line in whole().lines if b'{"document"' not in line]
    proof = judged(tmp_path, lines)
    assert (proof.holds, proof.documents, proof.missing_count) == (True, 0, 2)
    raw = sign_receipt(receipt(1))
    assert proof.missing[0].digest == digest_of(claimed_by(raw).payload)
    assert not judged(tmp_path, lines, roots=ANCHOR).holds


def test_documents_that_do_not_belong_there(tmp_path: Path) -> None:
    written, raw = whole(), sign_receipt(receipt(9))
    written.document(raw)
    assert judged(tmp_path, written.lines).broken.startswith("no record names document ")
    written = whole()
    written.document(sign_receipt(receipt(1)))
    assert (
        " stands twice, or after a record that names it" in judged(tmp_path, written.lines).broken
    )
