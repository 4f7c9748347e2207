"""The campaign: towns in which a daemon is killed, started and killed again, and then judged.

A town is known by the campaign's seed and its number: the same deeds and the same moments. What the
machine does meanwhile is its own, so a repetition ends near the same instants, not at the same.
"""

import asyncio
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain, repeat
from multiprocessing import get_context
from pathlib import Path
from random import Random

from gateway.bench.demo_world import ACREL_STATUS_ADDRESS, BOARD_UNIT, GATEWAY, Home
from gateway.bench.meters import MeterType
from gateway.utility.collect_store import opened_store
from tests.faults.shim import build
from tests.kills.controls import CONTROLS, toothless
from tests.kills.judging import Fault, Life, Row, Switch, Trace, Verdict, judge
from tests.kills.load import Load
from tests.kills.moments import Moment, Trap
from tests.kills.town import DaemonEnded, Town, a_place, leave, quick_town
from tests.kills.wire import clock_ms

POINTS_A_TOWN = 10
HOMES_OPENED = 5
MET_WITHIN_S = 4.0
"""A moment that has not come so long after the deeds is no longer waited for."""
LOG_CHARACTERS = 3_000
Place = tuple[int, int, int]
"""Unit, function, address."""


def killed_town(seed: int, keep: Path | None, number: int, points: int) -> Verdict:
    """One town, judged. `keep`: where its folder is left if anything is wrong."""
    with a_place() as place:
        try:
            trace = asyncio.run(lived(place, Random(f"{seed}:{number}"), number, points))
            verdict = judge(trace)
        except* DaemonEnded:
            log = (place / "daemon.log").read_text(encoding="utf-8")
            verdict = Verdict(kills=points, faults=[(Fault.ENDED, log[-LOG_CHARACTERS:])])
        except* AssertionError as silent:
            verdict = Verdict(kills=points, faults=[(Fault.SILENT, _said(silent))])
        if not verdict.faults:
            verdict.toothless = toothless(trace)
            verdict.controls = len(CONTROLS) - len(verdict.toothless)
        verdict.faults = [(fault, f"town {number}: {said}") for fault, said in verdict.faults]
        if verdict.faults and keep is not None:
            leave(place, keep / f"seed-{seed}-town-{number}")
    return verdict


def campaign(
    seed: int, points: int, pool: ProcessPoolExecutor, keep: Path | None = None
) -> Iterator[Verdict]:
    """What was found so far, after each town; the same for any number of processes."""
    sizes = [min(POINTS_A_TOWN, points - done) for done in range(0, points, POINTS_A_TOWN)]
    total = Verdict()
    for verdict in pool.map(partial(killed_town, seed, keep), range(len(sizes)), sizes):
        total.add(verdict)
        yield total


def processes(jobs: int) -> ProcessPoolExecutor:
    """So many processes for towns."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


async def lived(folder: Path, chance: Random, number: int, points: int) -> Trace:
    """A town with so many kills, to its quiet end."""
    async with quick_town(folder, build(folder)) as town:
        load = Load(town, chance)
        lives: list[Life] = []
        await town.line.control.open(load.debtor.serial)
        for moment in _moments(number, points, chance):
            if lives:
                await load.open_some(HOMES_OPENED)
            lives.append(await _life(town, load, moment, chance))
        open_and_held = await load.open_held()
        began_ms = clock_ms()
        await town.daemon.start()
        await load.settle()
        await town.daemon.stop()
        lives.append(await _ended(town, load, "the end", began_ms))
        truth = await town.line.control.truth()
        with opened_store(str(folder / "collected.db")) as store:
            handed_over = store.contents(GATEWAY)
        return Trace(
            switches=[switch_of(home) for home in town.homes],
            frames=town.tap.frames,
            rows=rows_in(town.state),
            lives=lives,
            handed_over=[*handed_over],
            holds=[*load.ledger.over, *load.ledger.holds.values()],
            closed={meter.serial: meter.closed for meter in truth.meters},
            paid=frozenset(home.serial for home in load.homes),
            held=frozenset(load.ledger.holds),
            opened_under_hold=open_and_held & load.ledger.holds.keys(),
            writes_known={
                meter.serial: tuple(write.mono_ms for write in meter.writes)
                for meter in truth.meters
            },
            log=town.daemon.log,
        )


async def _life(town: Town, load: Load, moment: Moment, chance: Random) -> Life:
    trap = Trap(town, moment, chance)
    trap.before_start()
    began_ms = clock_ms()
    await town.daemon.start()
    trap.started()
    try:
        status = await town.seen()
        trap.set()
        await load.pay_and_more(status, flood=moment is Moment.CHECKPOINT)
    except* DaemonEnded:
        pass
    ended = asyncio.create_task(town.daemon.ended())
    await asyncio.wait({ended}, timeout=MET_WITHIN_S)
    trap.spring()  # where it was not met
    exit_status = await ended
    trap.disarm()
    if exit_status != -signal.SIGKILL:
        raise DaemonEnded
    return await _ended(town, load, moment, began_ms)


async def _ended(town: Town, load: Load, moment: str, began_ms: int) -> Life:
    await town.broker.quiet()
    rows = await asyncio.to_thread(rows_in, town.state)
    last = rows[-1] if rows else Row(0, b"", b"")
    return Life(
        moment=moment,
        began_ms=began_ms,
        ended_ms=clock_ms(),
        rows=last.number,
        chain=last.chain,
        acknowledged=load.take_acknowledged(),
    )


def _moments(number: int, points: int, chance: Random) -> list[Moment]:
    """Each kind in its turn, over all towns; the first one of each at any moment."""
    kinds = [*Moment]
    turn = list(chain.from_iterable(repeat(kinds, 2 + points // len(kinds))))
    at = number * points % len(kinds)
    moments = turn[at : at + points]
    chance.shuffle(moments)
    return moments


def _said(group: BaseExceptionGroup[AssertionError]) -> str:
    errors = group.exceptions
    return "; ".join(str(one)[:LOG_CHARACTERS] for one in errors)


def rows_in(state: Path) -> list[Row]:
    """The records of a journal that nobody has open; it is left as it is."""
    files = [*state.glob("journal.db*")]
    if not any(file.name == "journal.db" and file.stat().st_size for file in files):
        return []
    with tempfile.TemporaryDirectory(dir=state.parent) as copy:
        for file in files:
            shutil.copy(file, copy)
        with closing(sqlite3.connect(Path(copy, "journal.db"))) as database:
            tables = database.execute("SELECT name FROM sqlite_schema").fetchall()
            if ("records",) not in tables:
                return []
            found = database.execute("SELECT number, chain, content FROM records ORDER BY number")
            return [Row(number, chain_hash, content) for number, chain_hash, content in found]


def switch_of(home: Home) -> Switch:
    """Where its switch is, by the maps of the makers as the town has them."""
    unit = home.meter.unit
    place: tuple[Place, Place, tuple[int, ...]]
    match home.entry.type:
        case MeterType.ACREL_DDSY1352:
            place = (unit, 16, 0x0057), (unit, 3, ACREL_STATUS_ADDRESS), (1, 0)
        case MeterType.DDS238_2_ZN_SR:
            place = (unit, 16, 0x001A), (unit, 3, 0x001A), (1,)
        case MeterType.SDM230_RELAY:
            channel = home.meter.switch_channel
            assert channel is not None
            place = (BOARD_UNIT, 5, channel), (BOARD_UNIT, 2, channel), (1,)
        case other:
            raise AssertionError(other)
    return Switch(home.serial, *place)
