"""Wiring: builds the rooms, runs the engine, stops in order.

Owns which room gets what. Must never decide or keep anything itself.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from gateway import BUILD_TIME_MS, __version__
from gateway.adjusting import Adjusted, MakeLink
from gateway.bundle import packed_bundle, status_without_homes
from gateway.bus.room import Buses
from gateway.config import Config, Parts, installed_settings
from gateway.console.local import LocalSocket
from gateway.core.admitted import JOURNAL_DEGRADED
from gateway.core.fact import DocumentClaim, Road
from gateway.core.image import Image
from gateway.core.records import Record
from gateway.core.settings import Settings
from gateway.engine import Engine
from gateway.headend.mqtt import HeadEnd
from gateway.host.clock import HostClock, boot_id, wall_ms
from gateway.host.identity import Identity, IdentityError, identity_at
from gateway.host.log_lines import LogLines
from gateway.inbox import BoundedInbox
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.tidying import Tidying
from gateway.ports import Clock, NotWritten, Remedy, Room

logger = logging.getLogger(__name__)

ROOM_RESTART_S = 5.0
"""A room that failed by a mistake of ours starts again after this; the others go on meanwhile."""
HAND_IN_AGAIN_S = 30.0
"""A document of the configuration that the disk does not take is handed in again after this."""


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway says of itself when it comes up; public keys only."""

    gateway: str
    device_key: str
    """Base64url of an Ed25519 public key: what its checkpoints are signed with. Empty: none is."""
    root_sha256: str
    """Of the installation's anchor."""
    version: str
    buses: tuple[str, ...]
    profiles: tuple[str, ...]
    meters: int
    root_seq: int
    """Of the root in force."""


async def run(config: Config, parts: Parts) -> None:
    """Run the daemon until SIGTERM or SIGINT. Raises what the journal raises at its opening."""
    lines = LogLines()
    logging.getLogger("gateway").addHandler(lines)
    try:
        await _run(config, parts, lines)
    finally:
        logging.getLogger("gateway").removeHandler(lines)


async def _run(config: Config, parts: Parts, lines: LogLines) -> None:
    clock = HostClock(boot_id(), BUILD_TIME_MS)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    told = await _until_renewed(config, parts, clock, lines, (), stop)
    while told is not None and not await _stopped_within(ROOM_RESTART_S, stop):
        told = await _until_renewed(config, parts, clock, lines, told, stop)


async def _until_renewed(
    config: Config,
    parts: Parts,
    clock: Clock,
    lines: LogLines,
    told: tuple[Record, ...],
    stop: asyncio.Event,
) -> tuple[Record, ...] | None:
    """Run over one journal; None: until `stop`, else until that journal takes nothing any more.

    `told`, and what is returned then, are records that no disk has.
    """
    inbox = BoundedInbox()
    journal = await open_journal(config)
    try:
        identity = _identity(config)
        signed = None if identity is None else identity.signed
        installed = installed_settings(config)
        image = Image(station=parts.station, root=parts.root, installed=installed)
        bus = Buses(config.bus, parts.profiles, inbox, clock)
        local = LocalSocket(
            config.socket,
            image,
            inbox=inbox,
            records=journal,
            clock=clock,
            signed=signed,
        )
        device_key = "" if identity is None else identity.public
        links = _links(config, parts, inbox, journal, clock, device_key, lines)
        headend = Adjusted(installed, links)
        rooms: dict[str, Room] = {
            "bus": bus,
            "local": local,
            "headend": headend,
            "journal": Tidying(journal, clock),
        }
        watchers = [room for room in rooms.values() if room is not bus]
        engine = Engine(
            image,
            inbox=inbox,
            journal=journal,
            bus=bus,
            watchers=watchers,
            clock=clock,
            sign=signed,
            readings_every_ms=config.journal_limits.readings_every_s * 1_000,
            held_max=config.journal_limits.held_records_max,
        )
        try:
            await engine.start(told)
            told = ()
            await _until_stopped(engine, rooms, config, inbox, stop)
        except NotWritten as failure:
            if failure.remedy is not Remedy.RENEW:
                raise
            logger.error("the journal is opened anew: %s", failure)  # noqa: TRY400
            return engine.untold or told
    finally:
        await journal.close()
    return None


def _identity(config: Config) -> Identity | None:
    # It signs checkpoints: nobody stays in the dark for want of that.
    try:
        identity, was_there = identity_at(config.identity, config.gateway)
    except IdentityError as error:
        logger.error("device_key: %s Checkpoints are not signed.", error)  # noqa: TRY400
        return None
    if not was_there:
        logger.warning("a new device key was made: enrol what `feeder-gateway init` shows")
    return identity


async def open_journal(config: Config) -> SqliteJournal:
    """The journal with its archive and its marks. Raises `JournalError`.

    Before the device key is made: a key without a journal says that a journal was lost.
    """
    return await SqliteJournal.open(
        config.journal,
        archive_directory=config.archive,
        marks_directory=config.marks,
        commissioned=config.identity.exists(),
        limits=config.journal_limits,
    )


def _links(
    config: Config,
    parts: Parts,
    inbox: BoundedInbox,
    journal: SqliteJournal,
    clock: Clock,
    device_key: str,
    lines: LogLines,
) -> MakeLink:
    def birth(image: Image) -> bytes:
        return msgspec.json.encode(
            Birth(
                gateway=config.gateway,
                device_key=device_key,
                root_sha256=parts.root_sha256,
                version=__version__,
                buses=parts.station.buses,
                profiles=tuple(sorted(parts.profiles)),
                meters=len(image.roster),
                root_seq=image.root.seq,
            )
        )

    def status(image: Image) -> bytes:
        return msgspec.json.encode(status_without_homes(image, clock.now()))

    def bundle(image: Image) -> bytes:
        return packed_bundle(config, image, clock.now(), lines.lines())

    def link(settings: Settings, order: str) -> Room | None:
        if config.broker is None or settings.broker is None:
            return None
        place = msgspec.structs.asdict(settings.broker)
        return HeadEnd(
            msgspec.structs.replace(config.broker, **place),
            utility=config.utility,
            gateway=parts.station.gateway,
            inbox=inbox,
            records=journal,
            status=status,
            birth=birth,
            bundle=bundle,
            clock=clock,
            calendar=wall_ms,
            order=order,
        )

    return link


async def _until_stopped(
    engine: Engine,
    rooms: dict[str, Room],
    config: Config,
    inbox: BoundedInbox,
    stop: asyncio.Event,
) -> None:
    corridor = asyncio.create_task(engine.run(), name="engine")
    stopped = asyncio.create_task(_ended(stop), name="stop")
    tasks = [
        asyncio.create_task(_keep_going(name, room.run, engine)) for name, room in rooms.items()
    ]
    tasks += [asyncio.create_task(_hand_in(config.documents, inbox)), stopped]
    try:
        logger.info("gateway %s runs, version %s", config.gateway, __version__)
        await asyncio.wait({corridor, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # The rooms first, while the engine still takes what they have to say; it ends between
        # two ticks. A failure of its own is raised here and ends the process.
        await _end(tasks)
        engine.stop()
        await corridor


async def _ended(stop: asyncio.Event) -> None:
    await stop.wait()


async def _stopped_within(wait_s: float, stop: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(wait_s):
            return await stop.wait()
    except TimeoutError:
        return False


async def _keep_going(
    name: str, work: Callable[[], Coroutine[None, None, None]], engine: Engine
) -> None:
    this = asyncio.current_task()
    assert this is not None
    while True:
        try:
            await work()
        except NotWritten as failure:
            # The journal could not be read: the link waits for it, all of the gateway does not.
            logger.error("the %s room failed: %s", name, failure)  # noqa: TRY400
            if failure.remedy is Remedy.RENEW:
                engine.fail(failure)
        except Exception:
            logger.exception("the %s room failed", name)
        # What fails while it is being cancelled raises that instead: it must end all the same.
        if this.cancelling():
            return
        await asyncio.sleep(ROOM_RESTART_S)


async def _hand_in(documents: tuple[Path, ...], inbox: BoundedInbox) -> None:
    for path in documents:
        try:
            raw = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            logger.error("%s: %s. Name a readable file.", path, error.strerror)  # noqa: TRY400
            continue
        claim = DocumentClaim(raw=raw.strip(), road=Road.INSTALLED)
        while True:
            answer = await inbox.ask(claim)
            if answer != JOURNAL_DEGRADED:
                break
            await asyncio.sleep(HAND_IN_AGAIN_S)
        if answer.word == "SEQ_OLD":
            logger.info("%s: a newer one has come since, or a wipe", path)
        elif not answer.accepted:
            logger.error("%s: %s: see the journal", path, answer.word)


async def _end(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
