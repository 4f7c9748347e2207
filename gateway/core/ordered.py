"""Ordered: the image after an order.

Owns what an accepted order changes at once, and what one of a lost journal still says. Must never
judge: `ordering` did, and a restart applies it again with the same result.
"""

from collections.abc import Container, Mapping
from typing import TypeVar, assert_never

import msgspec

from gateway.core.errands import config_cancelled, config_confirmed
from gateway.core.fact import Move, TagKind
from gateway.core.forgetting import forgotten, wiped
from gateway.core.image import Image, with_kept
from gateway.core.installed import asked, not_before
from gateway.core.kept import Opened, Task
from gateway.core.marks import Mark, Marks, larger
from gateway.core.model import Account, Cause, Digest, Instant, Serial
from gateway.core.orders import (
    Cancel,
    Config,
    Confirm,
    Disconnect,
    EndIsolation,
    ForgetMeter,
    Hold,
    Isolate,
    LogBundle,
    Read,
    Rebirth,
    Reconnect,
    ReleaseForce,
    ReleaseHold,
    Resume,
    Scan,
    Wipe,
)
from gateway.core.records import OrderAccepted, OrderRestored
from gateway.core.standing import Standing, Word

T = TypeVar("T")


def order_accepted(image: Image, body: OrderAccepted, at: Instant) -> Image:
    """An order was accepted."""
    image = not_before(used_up(image, body.seq, body.digest), body.iat)
    act = body.act
    match act:
        case Disconnect():
            return _disconnect(image, body, act, at)
        case ReleaseForce():
            return with_kept(image, tasks={**image.kept.tasks, **tasks_of(body, image, at)})
        case Reconnect():
            before = image.kept.asks.get(act.account)
            n = 0 if before is None else before.n
            return asked(image, act.account, n, at)
        case Cancel():
            tasks = {
                serial: msgspec.structs.replace(task, cancelled=True)
                if task.order == act.order
                else task
                for serial, task in image.kept.tasks.items()
            }
            return config_cancelled(with_kept(image, tasks=tasks), act.order)
        case Confirm():
            return config_confirmed(image)
        case ForgetMeter():
            return forgotten(image, act.meters)
        case Wipe():
            return wiped(image, body.digest)
        case LogBundle() | Scan():
            return image  # the rooms do it, by what is kept of orders
        case Config() | Hold() | ReleaseHold() | Isolate() | EndIsolation() | Resume():
            return image  # the records beside this one do it
        case Read() | Rebirth():
            return image  # `lifecycle` keeps what is to be done
        case _:
            assert_never(act)


def order_restored(image: Image, body: OrderRestored, at: Instant) -> Image:
    """What an order of a lost journal said of accounts; what it asked for is not done again.

    That it was opened by order stays known: who pays comes back without anybody's asking. What was
    opened for safety since then has a tag, or the meter's own word. What was to be forgotten is.
    """
    kept = image.kept
    after = used_up(image, body.seq, body.digest)
    if isinstance(body.act, ForgetMeter):
        return forgotten(after, body.act.meters)
    if isinstance(body.act, Wipe):
        return wiped(after, body.digest)
    if not isinstance(body.act, Disconnect):
        return after
    opened = Opened(cause=Cause.ORDER, at=at, by=body.id)
    cut = _newer(_words_of(body.act, body), image)
    return with_kept(
        after,
        words={**kept.words, **cut},
        proofs=_without(kept.proofs, cut),
        asks=_without(kept.asks, cut),
        causes={**kept.causes, **{entry.meter: opened for entry in body.act.accounts}},
    )


def _newer(words: dict[str, Word], image: Image) -> dict[str, Word]:
    stands = {account: image.word(account) for account in words}
    return {
        account: word
        for account, word in words.items()
        if (known := stands[account]) is None or known.n < word.n
    }


def tag_of(act: Hold | ReleaseHold | Isolate | EndIsolation) -> tuple[TagKind, str]:
    """What an order forbids or allows again: the kind of tag, and what it is on."""
    match act:
        case Hold() | ReleaseHold():
            return TagKind.HOLD, act.meter
        case Isolate() | EndIsolation():
            kind = TagKind.ISOLATE_FEEDER if act.dt is None else TagKind.ISOLATE_DT
            return kind, act.dt or ""
        case _:
            assert_never(act)


def used_up(image: Image, seq: int, digest: Digest, refusal: str | None = None) -> Image:
    """An order is never taken again, accepted or refused."""
    newest = Marks(order=Mark(seq=seq, digest=digest, refusal=refusal))
    return with_kept(image, newest=larger(newest, image.kept.newest))


def tasks_of(body: OrderAccepted, image: Image, at: Instant) -> dict[str, Task]:
    """What an order that moves switches asks of which meter; the wire says which need it."""
    act = body.act
    if isinstance(act, ReleaseForce):
        accounts = {s: image.roster[s].account if s in image.roster else "" for s in act.meters}
        return {s: _task(body, at, Move.RELEASE, accounts[s], s) for s in act.meters}
    assert isinstance(act, Disconnect)
    return {
        entry.meter: _task(body, at, Move.OPEN, entry.account, entry.meter, n=entry.n)
        for entry in act.accounts
    }


def _disconnect(image: Image, body: OrderAccepted, act: Disconnect, at: Instant) -> Image:
    kept = image.kept
    cut = {entry.account for entry in act.accounts}
    return with_kept(
        image,
        words={**kept.words, **_words_of(act, body)},
        tasks={**kept.tasks, **tasks_of(body, image, at)},
        proofs=_without(kept.proofs, cut),
        asks=_without(kept.asks, cut),
    )


def _without(by_account: Mapping[str, T], cut: Container[str]) -> dict[str, T]:
    """Who was cut has neither proof nor ask any more: he has to pay anew."""
    return {account: one for account, one in by_account.items() if account not in cut}


def _words_of(act: Disconnect, body: OrderAccepted | OrderRestored) -> dict[str, Word]:
    return {
        entry.account: Word(
            standing=Standing.CUT,
            n=entry.n,
            meter=entry.meter,
            digest=body.digest,
            signers=body.signers,
            ref=body.id,
        )
        for entry in act.accounts
    }


def _task(
    body: OrderAccepted, at: Instant, move: Move, account: str, meter: str, n: int = 0
) -> Task:
    return Task(
        move=move,
        order=body.id,
        account=Account(account),
        meter=Serial(meter),
        iat=body.iat,
        exp=body.exp,
        signers=len(body.signers),
        accepted=at,
        boot=body.boot,
        n=n,
    )
