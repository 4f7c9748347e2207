"""What a person asks for at the local socket becomes a claim, and nobody there is anybody else."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.console.local import Ask, AskCause, AskResume, AskTag, LocalClient, Reply
from gateway.core.admitted import ACCEPTED
from gateway.core.fact import (
    CauseClaim,
    Claim,
    Event,
    Origin,
    ResumeClaim,
    TagClaim,
    TagKind,
)
from gateway.core.model import Cause
from gateway.inbox import BoundedInbox
from tests.rooms.console.served import serving

HOLD = AskTag(kind=TagKind.HOLD, target="M1", place=True, by="NAME", reason="WHY")
CAUSE = CauseClaim(meter="M1", cause=Cause.ARREARS, by="NAME", reason="WHY")
RESUME = ResumeClaim(dt="DT-1", by="NAME", reason="WHY")
HOLD_CLAIM = TagClaim(
    kind=TagKind.HOLD,
    target="M1",
    place=True,
    by="NAME",
    reason="WHY",
    origin=Origin.TECHNICIAN,
)


async def claimed(path: Path, ask: Ask) -> tuple[Event, Reply]:
    """What an ask puts into the inbox, and what the caller hears once that is accepted."""
    inbox = BoundedInbox()
    async with serving(path, inbox):
        asked = asyncio.create_task(LocalClient(path).ask(ask))
        await inbox.wait(None)
        ((event, reply),) = inbox.drain(2)
        assert reply is not None
        reply(ACCEPTED)
        return event, await asked


async def said(path: Path, line: bytes) -> Reply:
    """The answer to a line as a stranger's program may send it."""
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
    return Reply(kind=answer["kind"], error=answer.get("error", ""))


@pytest.mark.parametrize(
    ("ask", "claim"),
    [
        pytest.param(HOLD, HOLD_CLAIM, id="a hold"),
        pytest.param(AskCause(claim=CAUSE), CAUSE, id="a cause"),
        pytest.param(AskResume(claim=RESUME), RESUME, id="a transformer that goes on"),
    ],
)
async def test_an_ask_becomes_a_claim_and_its_answer_comes_back(
    tmp_path: Path, ask: Ask, claim: Claim
) -> None:
    event, reply = await claimed(tmp_path / "gateway.sock", ask)
    assert event == claim
    assert (reply.kind, reply.answer) == ("answer", ACCEPTED)


@pytest.mark.parametrize("origin", Origin)
async def test_nobody_at_the_socket_can_say_that_he_is_somebody_else(
    tmp_path: Path, origin: Origin
) -> None:
    hold = {"ask": "tag", "kind": "HOLD", "target": "M1", "place": False, "by": "N", "reason": "W"}
    line = json.dumps({**hold, "origin": origin}).encode()
    reply = await said(tmp_path / "gateway.sock", line)
    assert (reply.kind, "unknown field `origin`" in reply.error) == ("error", True)


async def test_a_cause_that_is_none_is_refused_before_it_is_a_claim(tmp_path: Path) -> None:
    line = b'{"ask":"cause","claim":{"meter":"M1","cause":"WEATHER","by":"N","reason":"W"}}'
    reply = await said(tmp_path / "gateway.sock", line)
    assert (reply.kind, "'WEATHER'" in reply.error) == ("error", True)
