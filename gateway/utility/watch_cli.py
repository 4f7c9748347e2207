"""The command that watches the fleet: once, or for as long as somebody looks.

Owns its arguments, the listening and the screen. Must never hide that the broker is gone: then what
is shown grows old before one's eyes, and says so.
"""

import asyncio
import contextlib
import secrets
import shutil
import sys
from collections.abc import Callable

import click
import msgspec

from gateway.core.model import IdText, Value
from gateway.headend.dialler import BackOff, Dialler, Role
from gateway.headend.messages import parse_up, up_filter
from gateway.headend.session import BrokerSettings, DialFailed, Message, Session
from gateway.host.clock import wall_ms
from gateway.utility.arguments import tells_mistakes
from gateway.utility.broker import broker_options, checked_ids
from gateway.utility.files import Mistake
from gateway.utility.watch import Fleet, Row, table

QUIET_S = 0.5
"""What the broker keeps comes at once: after so long without a status there is no more of it."""
ANSWER_S = 5.0
"""Who was not heard by then is not held by the broker."""
REFRESH_S = 1.0
ABOVE = 3
"""Lines of the screen that are not the table's."""


class Watched(Value):
    """Whose statuses are wanted, and where."""

    settings: BrokerSettings
    utility: IdText
    gateways: tuple[IdText, ...]


class Watcher:
    """Listens to the statuses; `changed` is called with the gateway of each that is watched."""

    def __init__(self, watched: Watched, changed: Callable[[str], None]) -> None:
        self.fleet = Fleet(watched.gateways)
        self._watched = watched
        self._changed = changed
        root, utility = watched.settings.topic_root, watched.utility
        filters = (up_filter(root, utility, "status"),)
        name = f"fg-watch-{secrets.token_hex(4)}"
        self._dialler = Dialler(
            watched.settings, Role(client_id=name, lasting=False, filters=filters)
        )

    async def dial(self) -> Session:
        """Listen from now on. Raises `DialFailed`."""
        return await self._dialler.dial(self._hear)

    def _hear(self, session: Session, message: Message) -> None:
        session.acknowledge(message)
        watched = self._watched
        parsed = parse_up(message.topic, watched.settings.topic_root, watched.utility)
        if parsed is None:
            return
        gateway, at_s = parsed[0], asyncio.get_running_loop().time()
        payload, retained = message.payload, message.retained
        if self.fleet.hear(gateway, payload, retained=retained, at_s=at_s, wall_ms=wall_ms()):
            self._changed(gateway)


async def look_once(watched: Watched) -> list[Row]:
    """What the broker holds of the fleet now, who needs somebody first. Raises `Mistake`."""
    heard = asyncio.Event()
    watcher = Watcher(watched, lambda _: heard.set())
    settings = watched.settings
    try:
        session = await watcher.dial()
    except DialFailed as failed:
        place = f"broker {settings.host}:{settings.port}"
        raise Mistake(place, failed.detail, "check --broker") from failed
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await _until_quiet(watcher.fleet, heard, watched)
        return watcher.fleet.rows(asyncio.get_running_loop().time())
    finally:
        await session.close()


async def _until_quiet(fleet: Fleet, heard: asyncio.Event, watched: Watched) -> None:
    # Somebody who is named is waited for; of the others nobody knows how many there are.
    quiet_s = ANSWER_S if watched.gateways else QUIET_S
    while not fleet.complete:
        async with asyncio.timeout(quiet_s):
            await heard.wait()
        heard.clear()


async def keep_looking(watched: Watched, *, as_json: bool) -> None:
    """Show the fleet until cancelled; as JSON, a line for each status that comes."""

    def changed(gateway: str) -> None:
        if as_json:
            click.echo(msgspec.json.encode(watcher.fleet.row(gateway, loop.time())))

    loop = asyncio.get_running_loop()
    watcher = Watcher(watched, changed)
    back_off = BackOff()
    while True:
        try:
            session = await watcher.dial()
        except DialFailed as failed:
            trouble = failed.detail
        else:
            back_off.reset()
            trouble = await _show_until_lost(watcher.fleet, session, as_json=as_json)
        _draw(watcher.fleet, f"BROKER NOT CONNECTED: {trouble}", as_json=as_json)
        await asyncio.sleep(back_off.next_s())


async def _show_until_lost(fleet: Fleet, session: Session, *, as_json: bool) -> str:
    """Returns why the connection ended."""
    try:
        while not session.lost.done():
            _draw(fleet, "", as_json=as_json)
            await asyncio.wait({session.lost}, timeout=REFRESH_S)
        return session.lost.result()
    finally:
        await session.close()


def _draw(fleet: Fleet, trouble: str, *, as_json: bool) -> None:
    if as_json:
        if trouble:
            click.echo(trouble, err=True)
        return
    lines = list(table(fleet.rows(asyncio.get_running_loop().time())))
    room = shutil.get_terminal_size().lines - ABOVE
    click.clear()
    for line in [trouble, *lines[:room]] if trouble else lines[:room]:
        click.echo(line)
    if len(lines) > room:
        click.echo(f"... and {len(lines) - room} lines more: --once shows all")


@click.command()
@broker_options
@click.option(
    "--gateway", "gateways", callback=checked_ids, multiple=True, help="Only this; once for each."
)
@click.option("--once", is_flag=True, help="Print the table once, as where there is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each gateway.")
@tells_mistakes
def watch(
    settings: BrokerSettings,
    utility: IdText,
    gateways: tuple[IdText, ...],
    once: bool,
    as_json: bool,
) -> None:
    """Show how every gateway fares, who needs somebody first.

    NEVER SEEN: the broker holds nothing of it; GONE: it is not connected; OLD: it should have said
    something since. Then what stands beside it is what it said last. Until Ctrl-C.

    \b
    Example:
      feeder-gateway utility watch --broker localhost:1883 --utility demo
    """
    watched = Watched(settings=settings, utility=utility, gateways=gateways)
    try:
        if not once and (as_json or sys.stdout.isatty()):
            asyncio.run(keep_looking(watched, as_json=as_json))
        rows = asyncio.run(look_once(watched))
    except KeyboardInterrupt:
        return
    for line in (msgspec.json.encode(row) for row in rows) if as_json else table(rows):
        click.echo(line)
