"""Whatever is handed to the running daemon and makes no sense is refused by name, and only that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import paho.mqtt.publish
import pytest
import pytest_asyncio

from gateway.bench.demo_world import GATEWAY
from gateway.core.documents import AllowList, ListEntry, Receipt, Site
from gateway.core.fact import Road
from gateway.core.records import Refused
from gateway.core.signature import DocumentType
from gateway.core.status import Status
from gateway.core.trust import Algorithm, Role
from gateway.utility.sign import SigningKey, payload_of
from tests.rooms.daemon.town import Town, running_town

pytestmark = pytest.mark.asyncio(loop_scope="module")
N = 1_795_400_000_000
TEN_MEGABYTES = b"A" * 10_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with running_town(tmp_path_factory.mktemp("town")) as town:
        yield town


def site_with(town: Town, **changes: Any) -> bytes:
    """The roster with its third meter changed."""
    meters = [home.meter for home in town.homes]
    meters[2] = msgspec.structs.replace(meters[2], **changes)
    site = Site(gateway=GATEWAY, seq=2, feeder="F-1", meters=tuple(meters))
    return town.papers.keys.site.sign(DocumentType.SITE, payload_of(site))


def list_for(town: Town, gateway: str) -> bytes:
    entry = ListEntry(account=town.homes[1].account, meter=town.homes[1].serial, n=N)
    allow_list = AllowList(gateway=gateway, seq=7, as_of=N, stale_after=2 * N, accounts=(entry,))
    return town.papers.keys.list.sign(DocumentType.LIST, payload_of(allow_list))


def receipt(town: Town, *, n: int, home: int = 1, **changes: Any) -> bytes:
    owner = town.homes[home]
    paper = Receipt(account=owner.account, meter=owner.serial, n=n, paid_at=n, exp=2 * N)
    paper = msgspec.structs.replace(paper, **changes)
    return town.papers.keys.receipt.sign(DocumentType.RECEIPT, payload_of(paper))


def list_by_receipt_key(town: Town) -> bytes:
    """A thief of the receipt key tries to un-list everybody."""
    paper = AllowList(gateway=GATEWAY, seq=1, as_of=N, stale_after=N, accounts=())
    thief = SigningKey.make(town.papers.keys.receipt.kid, Algorithm.ED25519, (Role.LIST,))
    return thief.sign(DocumentType.LIST, payload_of(paper))


REFUSED: dict[str, tuple[str, str, Callable[[Town], bytes]]] = {
    "a meter type that is not installed": (
        "UNKNOWN_PROFILE",
        "meters[2].profile",
        lambda town: site_with(town, profile="no-such-meter"),
    ),
    "a bus that is not configured": (
        "UNKNOWN_BUS",
        "meters[2].bus",
        lambda town: site_with(town, bus="Z"),
    ),
    "two meters at one address": (
        "DUPLICATE_ADDRESS",
        "unit 1 of bus A is also meters[0]",
        lambda town: site_with(town, unit=1),
    ),
    "one account with two meters": (
        "DUPLICATE_ACCOUNT",
        "is also meters[0]",
        lambda town: site_with(town, account=town.homes[0].account),
    ),
    "a list for another gateway": (
        "WRONG_AUDIENCE",
        "it is for gateway FDR-018",
        lambda town: list_for(town, "FDR-018"),
    ),
    "a receipt for an account of another feeder": (
        "NOT_ON_ROSTER",
        "is not on this feeder's roster",
        lambda town: receipt(town, n=N, account="9999999"),
    ),
    "a receipt that names another meter": (
        "METER_MISMATCH",
        "the roster",
        lambda town: receipt(town, n=N, meter="220315000077"),
    ),
    "a receipt handed in too late": (
        "EXPIRED",
        "had to be handed in",
        lambda town: receipt(town, n=N, exp=1),
    ),
    "half a receipt": (
        "BAD_SIGNATURE",
        "receipt-1",
        lambda town: receipt(town, n=N)[:-10] + b"AAAAAAAAAA",
    ),
    "a list signed by the receipt key": (
        "ROLE_NOT_ALLOWED",
        "may not sign fg-list+jws",
        list_by_receipt_key,
    ),
    "garbage": (
        "MALFORMED_ENVELOPE",
        "not three parts",
        lambda _: b"garbage",
    ),
}


def what_counts(status: Status) -> tuple[object, ...]:
    """Everything that decides about a consumer."""
    return (
        status.site_seq,
        status.list,
        status.standing,
        status.supply,
        status.dark,
        status.holds,
        status.isolations,
        status.forced,
    )


def without_ages(status: Status) -> Status:
    """The status with durations set to zero, so that two of them can be compared."""
    in_force = status.list and msgspec.structs.replace(status.list, age_ms=0)
    return msgspec.structs.replace(
        status,
        list=in_force,
        dark=tuple(msgspec.structs.replace(meter, waited_ms=0) for meter in status.dark),
    )


async def refused_since(town: Town, number: int) -> list[Refused]:
    """The refusals in the journal above a number."""
    return [r.body for r in await town.records(number) if isinstance(r.body, Refused)]


@pytest.mark.parametrize("given", REFUSED)
async def test_refused_by_name_recorded_and_nothing_else(town: Town, given: str) -> None:
    name, place, make = REFUSED[given]
    before = await town.status()
    answer = await town.submit(make(town))
    assert (answer.accepted, answer.word) == (False, name)
    assert place in answer.detail
    after = await town.status()
    assert what_counts(without_ages(after)) == what_counts(without_ages(before))
    refusals = await refused_since(town, before.records)
    assert [refusal.name for refusal in refusals] == [name]
    assert after.refusals[name] == before.refusals.get(name, 0) + 1


async def test_a_receipt_older_than_the_standing_changes_nothing(town: Town) -> None:
    newer = await town.submit(receipt(town, n=N + 1_000))
    assert newer.accepted
    answer = await town.submit(receipt(town, n=N))
    assert (answer.accepted, answer.word) == (False, "OLDER_THAN_STANDING")
    again = await town.submit(receipt(town, n=N + 1_000))
    assert (again.accepted, again.word) == (True, "DUPLICATE")
    twisted = await town.submit(receipt(town, n=N + 1_000, meter=town.homes[1].serial, ref="x"))
    assert (twisted.accepted, twisted.word) == (True, "DUPLICATE")


async def test_a_document_of_ten_megabytes_by_the_local_socket(town: Town) -> None:
    before = await town.status()
    answer = await town.submit(TEN_MEGABYTES)
    assert (answer.accepted, answer.word) == (False, "TOO_LONG")
    assert [r.name for r in await refused_since(town, before.records)] == ["TOO_LONG"]


@pytest.mark.parametrize(
    ("topic", "payload", "name"),
    [
        pytest.param("down/document", b"garbage", "MALFORMED_ENVELOPE", id="garbage document"),
        pytest.param("down/document", TEN_MEGABYTES, "TOO_LONG", id="a document of 10 MB"),
        pytest.param("down/ack", b"{}", "MALFORMED_ACK", id="garbage acknowledgement"),
        pytest.param("down/host", b"[]", "MALFORMED_HOST", id="garbage of the head end"),
        pytest.param(
            "down/ack",
            b'{"through":1,"chain":"' + b"0" * 64 + b'"}',
            "ACK_CHAIN_MISMATCH",
            id="an acknowledgement of other records",
        ),
        pytest.param(
            "down/ack",
            b'{"through":999999,"chain":"' + b"0" * 64 + b'"}',
            "ACK_BEYOND_RECORDS",
            id="an acknowledgement of records that do not exist",
        ),
    ],
)
async def test_nonsense_by_mqtt(town: Town, topic: str, payload: bytes, name: str) -> None:
    before = await town.status()
    host, port = town.broker
    await asyncio.to_thread(
        paho.mqtt.publish.single,
        f"{town.topics}/{topic}",
        payload,
        qos=1,
        hostname=host,
        port=port,
    )
    after = await town.until(lambda s: s.refusals.get(name, 0) > before.refusals.get(name, 0))
    assert what_counts(without_ages(after)) == what_counts(without_ages(before))
    assert after.acked_through == before.acked_through
    refusals = await refused_since(town, before.records)
    assert [(refusal.name, refusal.road) for refusal in refusals] == [(name, Road.MQTT)]


async def test_a_document_of_the_utility_still_passes_after_all_that(town: Town) -> None:
    answer = await town.submit(list_for(town, GATEWAY))
    assert (answer.accepted, answer.word) == (True, "ACCEPTED")
    status = await town.status()
    assert status.list is not None
    assert status.list.seq == 7
    assert town.daemon.starts == 1, "the daemon crashed on the way"
