"""The figures for people."""

from collections.abc import Iterator
from statistics import median

from tests.bench.bus.figures import CELLS, HEADLINE, Figures
from tests.bench.bus.peers import DEFAULT_TIMEOUTS_S, PEERS, REFERENCE

LABELS = {one.name: one.label for one in (*PEERS, REFERENCE)}
BROKEN = 0.01
"""A master that breaks into more of the silences than this is marked."""


def in_words(figures: Figures) -> Iterator[str]:
    """The whole table."""
    yield f"date      {figures.date}"
    yield f"machine   {figures.machine}"
    yield (
        f"load      {figures.load_before:.2f} before, {figures.load_after:.2f} after; "
        f"{figures.at_once} masters at once, each on a line of its own"
    )
    yield ""
    yield from _speeds(figures)
    yield ""
    yield from _masters(figures)
    for peer in figures.not_here:
        yield f"{peer.label:<30} not here: {peer.install}"
    yield ""
    yield from _late(figures)
    yield ""
    yield from _dead(figures)
    yield ""
    yield from _gateway(figures)


def _speeds(figures: Figures) -> Iterator[str]:
    yield "Share of the wire limit (silence of 3.5 characters, request, turnaround, answer)."
    yield f"A star: it broke into the silence before more than {BROKEN:.0%} of its requests."
    letters = dict(zip(figures.masters, "ABCDEFGHIJ", strict=False))
    for master, letter in letters.items():
        yield f"  {letter}  {LABELS[master]} {figures.versions[master]}"
    yield f"{'':<28}" + "".join(f"{letter:>8}" for letter in letters.values())
    for cell in figures.cells:
        row = ""
        for master in figures.masters:
            speed = figures.at(cell, master).speed
            broken = speed.breaches > BROKEN * speed.requests
            row += f"{speed.share:>7.3f}{'*' if broken else ' '}"
        yield f"{cell!s:<28}{row}"


def _masters(figures: Figures) -> Iterator[str]:
    yield (
        f"{'Over all cells':<30}{'share of the limit':>24}{'breaches':>10}{'silence':>9}"
        f"{'failed':>8}{'CPU, s per':>12}"
    )
    yield (
        f"{'':<30}{'median':>8}{'least':>8}{'most':>8}{'of reads':>10}{'chars':>9}"
        f"{'reads':>8}{'1000 reads':>12}"
    )
    for master in figures.masters:
        of = figures.of(master)
        shares = [one.speed.share for one in of]
        gap = median(one.speed.gap_characters for one in of)
        failed = sum(one.done.wrong + one.done.none for one in of)
        yield (
            f"{LABELS[master]:<30}{median(shares):>8.3f}{min(shares):>8.3f}{max(shares):>8.3f}"
            f"{figures.breach_share(master):>10.1%}{gap:>9.2f}{failed:>8}"
            f"{figures.cpu_s_per_1000(master):>12.2f}"
        )


def _late(figures: Figures) -> Iterator[str]:
    yield (
        f"One of 60 meters answers 5 ms after the master has given up ({figures.late_timeout_s} s, "
        f"19200 baud); {figures.late_reads} reads of two registers in turn, half of them its own"
    )
    yield f"{'':<30}{'right':>8}{'wrong':>8}{'none':>8}"
    for one in figures.late:
        done = one.done
        yield f"{LABELS[one.master]:<30}{done.right:>8}{done.wrong:>8}{done.none:>8}"
    if "mbpoll" in figures.masters:
        yield f"{LABELS['mbpoll']:<30} reads the same registers of every unit: not asked"


def _dead(figures: Figures) -> Iterator[str]:
    yield (
        f"{figures.dead} of {figures.dead_meters} meters dead (9600 baud, 20 ms, each master's own "
        "time-out): share of the limit after the first round"
    )
    gateway = figures.gateway
    timeout_s = DEFAULT_TIMEOUTS_S["this"]
    yield f"{'this gateway, parking':<30}{gateway.dead_share:>8.3f}   time-out {timeout_s} s"
    for one in figures.deads:
        share = f"{'-':>8}" if one.share is None else f"{one.share:>8.3f}"
        yield f"{LABELS[one.master]:<30}{share}   time-out {one.timeout_s} s"


def _gateway(figures: Figures) -> Iterator[str]:
    gateway = figures.gateway
    yield "This gateway's bus room"
    yield (
        f"  a meter is read every {gateway.cycle_s:.2f} s; with {gateway.cycle_dead} of "
        f"{gateway.cycle_meters} dead every {gateway.cycle_dead_s:.2f} s: "
        f"{gateway.cycle_dead_s / gateway.cycle_s:.2f} times as long"
    )
    waits = gateway.close_waits_ms
    yield (
        f"  a close waits for its first byte: median {median(waits):.1f} ms, most "
        f"{max(waits):.1f} ms of {len(waits)}, while at most {gateway.close_overtaken} other "
        f"began (one transaction takes up to {gateway.transaction_ms:.1f} ms by the wire)"
    )
    yield (
        f"  four buses of 64 meters at 19200 baud on one core: {gateway.polling_cpu_share:.1%} CPU "
        f"polling (lines {gateway.polling_line_share:.0%} busy), {gateway.asking_cpu_share:.1%} "
        f"asked without pause ({gateway.asking_line_share:.0%} busy)"
    )
    cell = HEADLINE if HEADLINE in figures.cells else CELLS[0]
    if "this" in figures.masters:
        speed = figures.at(cell, "this").speed
        ceiling = figures.at(cell, REFERENCE.name).speed
        yield (
            f"  this master at {cell}: {speed.share:.3f} of the limit; its silences last "
            f"{speed.gap_characters:.2f} characters, those of the bare loop "
            f"{ceiling.gap_characters:.2f} (the line itself is late by {speed.line_late_us:.0f} us)"
        )
