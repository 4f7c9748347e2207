"""Time documents, and lists for a gateway that lost its memory: both echo what it said of late."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.core.documents import AllowList, Time, decode
from gateway.core.signature import FIELD_DOCUMENTS, verify
from gateway.headend.messages import pack_absence
from gateway.host.clock import wall_ms
from tests.rooms.headend.engine_side import GATEWAY
from tests.rooms.utility.desk import Desk
from tests.rooms.utility.test_utility_next_order import NONCE, STATUS, asking, said_of_itself


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).equip()


def time(desk: Desk, *options: object, key: str = "time-1") -> tuple[object, ...]:
    return ("time", "--key", desk / f"keys/{key}.json", "--out", desk / "out", *options)


def taken(desk: Desk) -> Time:
    document = decode(verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, desk.root()))
    assert isinstance(document, Time)
    return document


def listed(desk: Desk) -> AllowList:
    document = decode(verify((desk / "out").read_bytes(), FIELD_DOCUMENTS, desk.root()))
    assert isinstance(document, AllowList)
    return document


def test_the_time_of_this_desk_is_signed_for_one_nonce(desk: Desk) -> None:
    before = wall_ms()
    said = desk.run(*time(desk, "--nonce", NONCE))
    signed = taken(desk)
    assert signed.nonce == NONCE
    assert before <= signed.now <= wall_ms()
    assert f"for nonce {NONCE}, signed by time-1" in said


@pytest.mark.parametrize("nonce", ["", "boot-7", "boot-7@", "@900", "boot-7@9x", "b" * 63 + "@9"])
def test_a_nonce_that_no_gateway_gives_is_not_echoed(desk: Desk, nonce: str) -> None:
    said = desk.refuses(*time(desk, "--nonce", nonce))
    assert said.startswith("--nonce: NONCE_UNKNOWN: no gateway gives ")
    assert not (desk / "out").exists()


def test_another_key_signs_no_time(desk: Desk) -> None:
    said = desk.refuses(*time(desk, "--nonce", NONCE, key="list-1"))
    assert "a key of role list may not sign fg-time+jws; give a key of role time" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "Missing option '--nonce'; or give --ask-broker and --utility."),
        (("--ask-broker", "h", "--nonce", "b@1"), "--ask-broker finds --nonce: leave one of them"),
        (("--ask-broker", "h", "--gateway", "g"), "Missing option '--utility', which --ask-broker"),
        (("--ask-broker", "h", "--utility", "u"), "Missing option '--gateway', which --ask-broker"),
    ],
)
def test_wrong_use_is_said(desk: Desk, options: tuple[str, ...], says: str) -> None:
    assert says in desk.run(*time(desk, *options), status=2)


async def test_the_nonce_comes_from_the_gateway_itself(desk: Desk, tmp_path: Path) -> None:
    async with said_of_itself(tmp_path, json.dumps(STATUS).encode()) as (settings, _):
        await asyncio.to_thread(desk.run, *time(desk, *asking(settings)))
        assert taken(desk).nonce == NONCE
        given = {"csv": desk / "paid.csv", "gateway": GATEWAY}
        _, *address = asking(settings)[1:]
        await asyncio.to_thread(desk.run, *desk.list(**given), *address)
    assert listed(desk).nonce == NONCE


async def test_a_gateway_that_does_not_say_is_not_guessed_at(desk: Desk, tmp_path: Path) -> None:
    for at, (status, says) in enumerate(
        (
            (pack_absence(GATEWAY), "it is not connected, and what is signed for now would be too"),
            (b'{"online": true}', "gateway gw-1: its status gives no nonce; give --nonce"),
        )
    ):
        async with said_of_itself(tmp_path / str(at), status) as (settings, _):
            said = await asyncio.to_thread(desk.refuses, *time(desk, *asking(settings)))
        assert says in said
        assert "--seq" not in said
    assert not (desk / "out").exists()


def test_a_list_echoes_the_nonce_that_was_given(desk: Desk) -> None:
    desk.run(*desk.list(), "--nonce", NONCE)
    assert listed(desk).nonce == NONCE
    desk.run(*desk.list())
    assert listed(desk).nonce is None
    assert "NONCE_UNKNOWN" in desk.refuses(*desk.list(), "--nonce", "yesterday")
