"""The inbox: bounded, in order, and whoever asks gets his answer when it is on disk."""

import asyncio

import pytest

from gateway.core.fact import AckClaim, Answer
from gateway.inbox import INBOX_MAX, BoundedInbox

ACCEPTED = Answer(accepted=True, word="ACCEPTED")


def claim(number: int) -> AckClaim:
    return AckClaim(through=number, chain="")


async def turns(count: int = 5) -> None:
    """Let every other task go as far as it can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_comes_first_is_taken_first() -> None:
    inbox = BoundedInbox()
    for number in range(5):
        assert inbox.post(claim(number))
    assert len(inbox) == 5
    assert [event for event, _ in inbox.drain(3)] == [claim(0), claim(1), claim(2)]
    assert [event for event, _ in inbox.drain(3)] == [claim(3), claim(4)]
    assert inbox.drain(3) == []


async def test_a_full_inbox_takes_nothing_more() -> None:
    inbox = BoundedInbox()
    for number in range(INBOX_MAX):
        assert inbox.post(claim(number))
    assert not inbox.post(claim(INBOX_MAX))
    assert len(inbox) == INBOX_MAX


async def test_who_can_wait_is_taken_in_when_there_is_room() -> None:
    inbox = BoundedInbox(events_max=2)
    puts = [asyncio.create_task(inbox.put(claim(number))) for number in range(5)]
    taken = []
    while len(taken) < 5:
        await turns()
        assert len(inbox) <= 2
        taken += [event for event, _ in inbox.drain(1)]
    await asyncio.gather(*puts)
    assert sorted(event.through for event in taken if isinstance(event, AckClaim)) == [
        0,
        1,
        2,
        3,
        4,
    ]


async def test_who_asks_waits_for_the_answer() -> None:
    inbox = BoundedInbox()
    asking = asyncio.create_task(inbox.ask(claim(1)))
    await turns()
    ((event, reply),) = inbox.drain(1)
    assert event == claim(1)
    assert reply is not None
    assert not asking.done()
    reply(ACCEPTED)
    assert await asking == ACCEPTED


async def test_who_asked_and_went_is_not_missed() -> None:
    inbox = BoundedInbox()
    asking = asyncio.create_task(inbox.ask(claim(1)))
    await turns()
    ((_, reply),) = inbox.drain(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert reply is not None
    reply(ACCEPTED)


async def test_the_reader_wakes_for_an_event_for_a_call_and_when_the_time_is_over() -> None:
    inbox = BoundedInbox()
    reading = asyncio.create_task(inbox.wait(None))
    await turns()
    assert not reading.done()
    inbox.post(claim(1))
    await reading
    await inbox.wait(None)  # what has not been drained wakes again
    inbox.drain(1)
    await inbox.wait(0)
    reading = asyncio.create_task(inbox.wait(None))
    await turns()
    assert not reading.done()
    inbox.wake()
    await reading
