"""Topics and messages: what goes over the link, and what does not."""

import contextlib
import os
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import GatewayId, Now
from gateway.core.records import CHAIN_START, Started, Stored, chain_hash, record_of, store
from gateway.headend.messages import (
    COMPRESS_ABOVE,
    DOCUMENT_MAX,
    RECORDS_MAX,
    BadPayload,
    MessageFlaw,
    Topics,
    pack_absence,
    pack_ack,
    pack_document,
    pack_host,
    pack_records,
    parse_up,
    read_ack,
    read_document,
    read_host,
    read_presence,
    read_records,
)

GATEWAY = GatewayId("gw-1")
TOPICS = Topics(root="fg", utility="mpez", gateway=GATEWAY)
HASH = "ab" * 32


def chained(count: int, text: str = "1.0") -> list[Stored]:
    found: list[Stored] = []
    for number in range(1, count + 1):
        now = Now(mono_ms=number, boot="boot-1", wall_ms=number, wall_low_ms=number)
        previous = found[-1].chain if found else CHAIN_START
        found.append(store(record_of(number, Started(version=text), now), previous))
    return found


def flaw_of(read: object, payload: bytes) -> MessageFlaw:
    with pytest.raises(BadPayload) as bad:
        read(payload)  # type: ignore[operator]
    return bad.value.flaw


def test_topics_stand_under_root_version_utility_and_gateway() -> None:
    assert TOPICS.records == "fg/v1/mpez/gw-1/up/records"
    assert TOPICS.status == "fg/v1/mpez/gw-1/up/status"
    assert TOPICS.birth == "fg/v1/mpez/gw-1/up/birth"
    assert TOPICS.document == "fg/v1/mpez/gw-1/down/document"
    assert TOPICS.ack == "fg/v1/mpez/gw-1/down/ack"
    assert TOPICS.host == "fg/v1/mpez/gw-1/down/host"


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("fg/v1/mpez/gw-1/up/records", ("gw-1", "records")),
        ("fg/v1/mpez/gw-1/up/meter/M1", ("gw-1", "meter/M1")),
        ("fg/v1/mpez/gw-1/down/ack", None),
        ("fg/v1/other/gw-1/up/records", None),
        ("fg/v1/mpez/gw 1/up/records", None),
        ("fg/v1/mpez/gw-1/up/", None),
        ("fg/v1/mpez/gw-1", None),
        ("xfg/v1/mpez/gw-1/up/records", None),
    ],
)
def test_an_up_topic_names_gateway_and_leaf(topic: str, found: tuple[str, str] | None) -> None:
    assert parse_up(topic, "fg", "mpez") == found


def test_records_keep_their_very_bytes_and_their_chain() -> None:
    stored = chained(3)
    packed = pack_records(GATEWAY, stored[0].chain, stored[1:])
    batch = read_records(packed.payload)
    assert packed.last == 3
    assert (batch.gateway, batch.first, batch.prev) == (GATEWAY, 2, stored[0].chain.hex())
    assert [bytes(raw) for raw in batch.records] == [record.content for record in stored[1:]]
    chain = chain_hash(stored[0].chain, bytes(batch.records[0]))
    assert chain_hash(chain, bytes(batch.records[1])) == stored[2].chain


def test_a_small_batch_goes_as_json_and_a_large_one_as_zlib() -> None:
    small = pack_records(GATEWAY, CHAIN_START, chained(1)).payload
    large = pack_records(GATEWAY, CHAIN_START, chained(100)).payload
    assert small[:1] == b"{"
    assert len(small) <= COMPRESS_ABOVE
    assert large[:1] == b"\x78"
    assert len(read_records(large).records) == 100


def test_a_batch_holds_as_many_records_as_fit_and_no_more() -> None:
    stored = chained(200, os.urandom(500).hex())
    packed = pack_records(GATEWAY, CHAIN_START, stored)
    batch = read_records(packed.payload)
    content = sum(len(raw) + 1 for raw in batch.records)
    assert len(msgspec.json.encode(batch)) <= RECORDS_MAX
    assert content + len(stored[packed.last].content) + 1 > RECORDS_MAX - 256
    assert packed.last == len(batch.records)


BOMB = zlib.compress(bytes(100 * 1024 * 1024))
GOOD_BATCH = pack_records(GATEWAY, CHAIN_START, chained(100)).payload


@pytest.mark.parametrize(
    ("payload", "flaw"),
    [
        (b"", MessageFlaw.MALFORMED_RECORDS),
        (b"\xff\xfe", MessageFlaw.MALFORMED_RECORDS),
        (b"{}", MessageFlaw.MALFORMED_RECORDS),
        (b"x", MessageFlaw.MALFORMED_RECORDS),
        (BOMB, MessageFlaw.TOO_LONG),
        (GOOD_BATCH[:-3], MessageFlaw.MALFORMED_RECORDS),
        (GOOD_BATCH + b"more", MessageFlaw.MALFORMED_RECORDS),
        (b"{" + b" " * RECORDS_MAX + b"}", MessageFlaw.TOO_LONG),
        (
            b'{"gateway":"gw-1","first":0,"prev":"' + HASH.encode() + b'","records":[{}]}',
            MessageFlaw.MALFORMED_RECORDS,
        ),
        (
            b'{"gateway":"gw-1","first":1,"prev":"' + HASH.encode() + b'","records":[]}',
            MessageFlaw.MALFORMED_RECORDS,
        ),
        (b'{"gateway":"gw-1","first":1,"prev":"12","records":[{}]}', MessageFlaw.MALFORMED_RECORDS),
    ],
)
def test_what_is_no_batch_is_refused_by_name(payload: bytes, flaw: MessageFlaw) -> None:
    assert flaw_of(read_records, payload) is flaw


def test_an_acknowledgement_comes_back_as_it_went() -> None:
    ack = read_ack(pack_ack(7, bytes.fromhex(HASH)))
    assert (ack.through, ack.chain) == (7, HASH)


@pytest.mark.parametrize(
    ("payload", "flaw"),
    [
        (b"", MessageFlaw.MALFORMED_ACK),
        (b"null", MessageFlaw.MALFORMED_ACK),
        (b'{"through":1}', MessageFlaw.MALFORMED_ACK),
        (b'{"through":-1,"chain":"' + HASH.encode() + b'"}', MessageFlaw.MALFORMED_ACK),
        (b'{"through":1.5,"chain":"' + HASH.encode() + b'"}', MessageFlaw.MALFORMED_ACK),
        (b'{"through":true,"chain":"' + HASH.encode() + b'"}', MessageFlaw.MALFORMED_ACK),
        (b'{"through":1,"chain":"' + HASH.upper().encode() + b'"}', MessageFlaw.MALFORMED_ACK),
        (b'{"through":1,"chain":"' + HASH.encode()[2:] + b'"}', MessageFlaw.MALFORMED_ACK),
        (b" " * 2000, MessageFlaw.TOO_LONG),
    ],
)
def test_what_is_no_acknowledgement_is_refused_by_name(payload: bytes, flaw: MessageFlaw) -> None:
    assert flaw_of(read_ack, payload) is flaw


def test_the_head_end_says_whether_it_is_there() -> None:
    assert read_host(pack_host(online=True, ts=5)).online
    assert not read_host(pack_host(online=False, ts=5)).online


@pytest.mark.parametrize(
    ("payload", "flaw"),
    [
        (b"", MessageFlaw.MALFORMED_HOST),
        (b'{"online":1,"ts":5}', MessageFlaw.MALFORMED_HOST),
        (b'{"online":true}', MessageFlaw.MALFORMED_HOST),
        (b" " * 2000, MessageFlaw.TOO_LONG),
    ],
)
def test_what_is_no_word_of_the_head_end_is_refused(payload: bytes, flaw: MessageFlaw) -> None:
    assert flaw_of(read_host, payload) is flaw


def test_absence_is_a_status() -> None:
    presence = read_presence(pack_absence(GATEWAY))
    assert (presence.gateway, presence.online) == (GATEWAY, False)
    assert flaw_of(read_presence, b"{}") is MessageFlaw.MALFORMED_STATUS


@pytest.mark.parametrize("document", [b"eyJ.a.b", b"e" * 5000, b"", b"{garbage"])
def test_a_document_comes_as_it_was_sent(document: bytes) -> None:
    assert read_document(pack_document(document)) == document


def test_a_document_that_is_too_long_is_cut_just_beyond_the_limit() -> None:
    assert len(read_document(b"e" * 10_000_000)) == DOCUMENT_MAX + 1
    assert len(read_document(BOMB)) == DOCUMENT_MAX + 1


def test_what_cannot_be_inflated_goes_to_the_verifier_as_it_came() -> None:
    assert read_document(b"x is no zlib") == b"x is no zlib"


@given(st.binary(max_size=300))
def test_no_bytes_make_a_reader_fail_in_another_way(payload: bytes) -> None:
    read_document(payload)
    for read in (read_records, read_ack, read_host, read_presence):
        for sent in (payload, zlib.compress(payload)):
            with contextlib.suppress(BadPayload):
                read(sent)
