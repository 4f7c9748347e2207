"""Rehearsing an outage: every collector is asked to be away, for as long as somebody holds it.

Owns the holding, the ending and what is said of both. Must never leave a fleet in the dark: the
drill ends with this process however it ends, by the broker's word where it cannot say so itself.
Only what is started to stand until it is stopped stands without anybody.

It is the collector that says to each gateway that the head end is away, and that it is back: one
that starts meanwhile hears of the drill before it says anything, and nobody contradicts it.
"""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import click

from gateway.core.model import GatewayId, IdText, Value
from gateway.headend.dialler import Dialler, Role, Will
from gateway.headend.messages import VERSION, BadPayload, read_host
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.utility.arguments import tells_mistakes
from gateway.utility.broker import broker_options, checked_ids
from gateway.utility.drill import (
    AGAIN_S,
    Drill,
    drill_filters,
    drill_topic,
    pack_drill,
    parse_drill,
    read_drill,
)
from gateway.utility.files import Mistake
from gateway.utility.when import parse_span

ANSWER_S = 10.0
"""Within it a collector that is there has said to every gateway that it is away."""
QUIET_S = 0.5
"""What the broker keeps comes at once."""
MEND_WITHOUT_COLLECTOR = "start collect, or look whether it is with this broker and utility"


class Wanted(Value):
    """With whom an outage is rehearsed; no `gateways`: with the whole fleet."""

    settings: BrokerSettings
    utility: IdText
    gateways: tuple[IdText, ...]

    @property
    def targets(self) -> tuple[IdText | None, ...]:
        """Whom the words of the drill are about."""
        return self.gateways or (None,)

    def topic(self, target: IdText | None) -> str:
        """Where they are said."""
        return drill_topic(self.settings.topic_root, self.utility, target)


class Outage:
    """What is heard of drills and of the head end, on one connection."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._changed = asyncio.Event()
        self._session: Session | None = None
        self.drills: dict[GatewayId | None, Drill] = {}
        self.here: dict[str, bool] = {}
        """Whether the head end says of itself to each gateway that it is there."""

    @asynccontextmanager
    async def connected(self, will: str | None = None) -> AsyncIterator[Session]:
        """Hear for a while; `will`: the drill that ends when this connection breaks.

        Raises `Mistake`.
        """
        settings, utility = self._wanted.settings, self._wanted.utility
        root = settings.topic_root
        role = Role(
            client_id=f"fg-drill-{secrets.token_hex(4)}",
            lasting=False,
            filters=(*drill_filters(root, utility), f"{root}/{VERSION}/{utility}/+/down/host"),
            will=None if will is None else Will(topic=will, payload=pack_drill(None)),
        )
        try:
            session = await Dialler(settings, role).dial(self._hear)
        except DialFailed as failed:
            place = f"broker {settings.host}:{settings.port}"
            raise Mistake(place, failed.detail, "check --broker and the rights") from failed
        self._session = session
        session.lost.add_done_callback(lambda _: self._changed.set())
        try:
            await self._until_quiet()
            yield session
        finally:
            await session.close()

    def concerned(self) -> tuple[str, ...]:
        """The gateways of the drill to which the head end has ever said something."""
        wanted = self._wanted.gateways
        return tuple(sorted(gateway for gateway in self.here if not wanted or gateway in wanted))

    async def until(self, *, here: bool) -> tuple[str, ...]:
        """Wait until the head end says so to all who are concerned; who was not told is given."""

        def untold() -> tuple[str, ...]:
            return tuple(each for each in self.concerned() if self.here[each] is not here)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                while untold():
                    self._changed.clear()
                    await self._changed.wait()
        return untold()

    @property
    def over(self) -> bool:
        """Whether a word of the drill was taken back, or can be no more."""
        lost = self._session is None or self._session.lost.done()
        return lost or any(target not in self.drills for target in self._wanted.targets)

    async def ended(self, within_s: float) -> None:
        """Wait so long, or until it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.over:
                    self._changed.clear()
                    await self._changed.wait()

    async def _until_quiet(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                self._changed.clear()
                async with asyncio.timeout(QUIET_S):
                    await self._changed.wait()

    def _hear(self, session: Session, message: Message) -> None:
        session.acknowledge(message)
        root, utility = self._wanted.settings.topic_root, self._wanted.utility
        drill_of = parse_drill(message.topic, root, utility)
        if drill_of is not None:
            drill = read_drill(message.payload)
            if drill is None:
                self.drills.pop(drill_of[0], None)
            else:
                self.drills[drill_of[0]] = drill
        else:
            gateway = message.topic.split("/")[-3]
            with contextlib.suppress(BadPayload):
                self.here[gateway] = read_host(message.payload).online
        self._changed.set()


async def hold(wanted: Wanted, *, lasts_s: float | None, say: Callable[[str], None]) -> None:
    """Rehearse an outage for so long; `lasts_s` None: it stands until it is stopped.

    Raises `Mistake`. Cancelled, it ends the drill.
    """
    held = lasts_s is not None
    drill = Drill(held=held, holder=secrets.token_hex(4))
    async with contextlib.AsyncExitStack() as stack:
        # A connection has one will, and each target its own word.
        outage = Outage(wanted)
        first, *others = wanted.targets
        session = await stack.enter_async_context(
            outage.connected(wanted.topic(first) if held else None)
        )
        for target in others:
            quiet = Outage(wanted)
            await stack.enter_async_context(quiet.connected(wanted.topic(target) if held else None))
        _check_free(outage, wanted)
        try:
            await _begin(outage, session, wanted, drill, say)
            if not held:
                say("it stands until `outage stop`, whatever becomes of this command")
                return
            await _keep(outage, session, wanted, drill, lasts_s or 0.0)
        except BaseException:
            await _end(outage, session, wanted, say)
            raise
        await _end(outage, session, wanted, say)


async def release(wanted: Wanted, *, say: Callable[[str], None]) -> None:
    """End a drill, whoever holds it. Raises `Mistake`."""
    outage = Outage(wanted)
    async with outage.connected() as session:
        on = [target for target in wanted.targets if target in outage.drills]
        if not on:
            raise Mistake(_whom(wanted), "NO_DRILL: none is on", "look at the fleet with watch")
        await _end(outage, session, wanted, say)


def _check_free(outage: Outage, wanted: Wanted) -> None:
    for target in wanted.targets:
        if target in outage.drills:
            mend = "end it with `outage stop` first, or wait a minute where its holder is gone"
            raise Mistake(_whom(wanted), "DRILL_ON: another one is on already", mend)
    missing = [gateway for gateway in wanted.gateways if gateway not in outage.here]
    if missing or not outage.concerned():
        place = f"gateway {missing[0]}" if missing else f"utility {wanted.utility}"
        raise Mistake(place, "NO_HEAD_END: none has ever spoken to it", MEND_WITHOUT_COLLECTOR)
    if not any(outage.here[gateway] for gateway in outage.concerned()):
        wrong = "HEAD_END_AWAY: it is away already, and that is no drill"
        raise Mistake(_whom(wanted), wrong, MEND_WITHOUT_COLLECTOR)


async def _begin(
    outage: Outage, session: Session, wanted: Wanted, drill: Drill, say: Callable[[str], None]
) -> None:
    _say_drill(session, wanted, drill)
    say(f"drill: the head end goes away from {_whom(wanted)}; nothing is acknowledged")
    say("what is published meanwhile, orders too, still reaches the gateways")
    untold = await outage.until(here=False)
    away = len(outage.concerned()) - len(untold)
    if not away:
        wrong = "NO_COLLECTOR: nobody at the head end heeds the drill"
        raise Mistake(_whom(wanted), wrong, MEND_WITHOUT_COLLECTOR)
    say(f"told that the head end is away: {away} of {len(outage.concerned())}")
    for gateway in untold:
        say(f"{gateway}: STILL TOLD THAT THE HEAD END IS THERE")


async def _keep(
    outage: Outage, session: Session, wanted: Wanted, drill: Drill, lasts_s: float
) -> None:
    """Say it again and again until its time is over, or somebody else has ended it.

    Raises `Mistake` where the link breaks.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + lasts_s
    while (left_s := end_s - loop.time()) > 0:
        await outage.ended(min(AGAIN_S, left_s))
        if session.lost.done():
            place = f"broker {wanted.settings.host}:{wanted.settings.port}"
            wrong = f"{session.lost.result()}; the drill ends by itself within a minute"
            raise Mistake(place, wrong, "start another when the broker is back")
        if outage.over:
            return
        _say_drill(session, wanted, drill)


async def _end(
    outage: Outage, session: Session, wanted: Wanted, say: Callable[[str], None]
) -> None:
    if session.lost.done():
        return
    _say_drill(session, wanted, None)
    say(f"the drill is over: the head end comes back to {_whom(wanted)}")
    untold = await outage.until(here=True)
    concerned = outage.concerned()
    say(f"told that it is back: {len(concerned) - len(untold)} of {len(concerned)}")
    for gateway in untold:
        say(f"{gateway}: NOT TOLD THAT THE HEAD END IS BACK; is collect running?")


def _say_drill(session: Session, wanted: Wanted, drill: Drill | None) -> None:
    for target in wanted.targets:
        session.publish(wanted.topic(target), pack_drill(drill), retain=True)


def _whom(wanted: Wanted) -> str:
    return ", ".join(wanted.gateways) or "every gateway"


@click.group()
def outage() -> None:
    """Rehearse an outage of the head end with gateways that work.

    The collectors say that the head end is away and acknowledge nothing; what comes all the same
    they keep. The gateways reconnect paid homes by themselves, and hand everything in afterwards.

    \b
    Example:
      feeder-gateway utility outage start --broker localhost --utility demo --duration 2h
    """


TO = click.option(
    "--gateway",
    "gateways",
    callback=checked_ids,
    multiple=True,
    help="Only with this one; once for each.  [default: the whole fleet]",
)


@outage.command()
@broker_options
@TO
@click.option("--duration", help="Until then, or Ctrl-C.  [default: 1h]")
@click.option("--until-stopped", is_flag=True, help="Leave it standing until `outage stop`.")
@tells_mistakes
def start(
    settings: BrokerSettings,
    utility: IdText,
    gateways: tuple[IdText, ...],
    duration: str | None,
    until_stopped: bool,
) -> None:
    """Begin a drill and hold it until this command ends, however that is.

    \b
    Example:
      feeder-gateway utility outage start --broker localhost --utility demo --gateway rewa-7
    """
    if until_stopped and duration is not None:
        raise click.UsageError("give --duration or --until-stopped, not both")
    try:
        lasts_s = None if until_stopped else parse_span(duration or "1h") / 1000
    except ValueError as error:
        raise click.UsageError(f"--duration: {error}") from error
    wanted = Wanted(settings=settings, utility=utility, gateways=gateways)

    async def until_interrupted() -> None:
        holding = asyncio.create_task(hold(wanted, lasts_s=lasts_s, say=click.echo))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, holding.cancel)
        await asyncio.wait({holding})
        if not holding.cancelled():
            holding.result()

    asyncio.run(until_interrupted())


@outage.command()
@broker_options
@TO
@tells_mistakes
def stop(settings: BrokerSettings, utility: IdText, gateways: tuple[IdText, ...]) -> None:
    """End a drill, whoever began it.

    \b
    Example:
      feeder-gateway utility outage stop --broker localhost --utility demo
    """
    wanted = Wanted(settings=settings, utility=utility, gateways=gateways)
    asyncio.run(release(wanted, say=click.echo))
