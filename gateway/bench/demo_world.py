"""The demo's small town: twelve homes on one line, their keys, papers and processes.

Owns what is set up before the story begins. Must never tell the daemon anything but what a real
utility could: signed documents, a configuration, and meters on a wire.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from gateway.bench.faults import Faults
from gateway.bench.meters import MeterEntry, MeterType, Position
from gateway.core.documents import AllowList, ListEntry, Receipt, Site
from gateway.core.model import Digest, Meter, Value
from gateway.core.orders import CutEntry, Disconnect, Order
from gateway.core.rotation import load_root
from gateway.core.signature import FIELD_DOCUMENTS, DocumentType, verify
from gateway.core.terms import Disconnection, Pacing
from gateway.core.trust import Algorithm
from gateway.utility.keys import KeySet
from gateway.utility.sign import SigningKey, payload_of, sign_together

GATEWAY = "FDR-017"
UTILITY = "DEMO"
BUS = "A"
BAUD = 9_600
BOARD_UNIT = 40
DAY_MS = 86_400_000
RESTART_S = 0.3
"""What the service manager waits before it starts a daemon that has died."""
FOREIGN_TYPE = MeterType.DDS238_2_ZN_SR
"""The meters that another maker's Modbus can run instead of the simulated ones."""
ACREL_PROFILE = "acrel-ddsy1352-town"
OBSERVED_BRIEFLY = Pacing(first_alone_ms=2_000, gap_ms=1_000)
"""Pacing as by default, only shorter, so that the demo is."""
AT_ANY_HOUR = Disconnection(hour_max=50, gap_ms=200, protected=())
"""The demo's noon may be anybody's night."""
ORDER_LIFE_MS = 300_000
ACREL_STATUS_ADDRESS = 0x0165
ACREL_SITE_PROFILE = f"""extends = "acrel-ddsy1352"
title = "Acrel DDSY1352 as this town has it"

[state]
address = {ACREL_STATUS_ADDRESS:#06x}
source = "the simulated meter: where the real one keeps its status word is not public"
"""


class Part(StrEnum):
    """What happens to a home in the story."""

    LIT = "LIT"
    PAYS_BY_MQTT = "PAYS_BY_MQTT"
    PAYS_BY_LIST = "PAYS_BY_LIST"
    PAYS_BY_QR = "PAYS_BY_QR"
    DOES_NOT_PAY = "DOES_NOT_PAY"
    METER_SWAPPED = "METER_SWAPPED"
    """Dark since its meter was exchanged; the roster still names the old one."""


CUT = (Part.PAYS_BY_MQTT, Part.PAYS_BY_LIST, Part.PAYS_BY_QR, Part.DOES_NOT_PAY)
PAYS = CUT[:3]


class Home(Value):
    """One home: its meter on the wire, its line of the roster, and its part in the story."""

    meter: Meter
    entry: MeterEntry
    part: Part

    @property
    def account(self) -> str:
        """The consumer number."""
        return self.meter.account

    @property
    def serial(self) -> str:
        """The meter's number as the roster has it."""
        return self.meter.serial


def town() -> tuple[Home, ...]:
    """Four homes of each of three meter types, each type on its own transformer."""
    parts = {1: Part.PAYS_BY_MQTT, 4: Part.METER_SWAPPED, 6: Part.PAYS_BY_LIST}
    parts |= {10: Part.PAYS_BY_QR, 12: Part.DOES_NOT_PAY}
    return tuple(_home(unit, parts.get(unit, Part.LIT)) for unit in range(1, 13))


def _home(unit: int, part: Part) -> Home:
    kind = tuple(MeterType)[(unit - 1) // 4]
    switch_unit = switch_channel = second_proof = None
    match kind:
        case MeterType.ACREL_DDSY1352:
            serial, profile = f"2203150000{unit:02}", ACREL_PROFILE
        case MeterType.DDS238_2_ZN_SR:
            serial, profile = f"H2381900{unit:02}", "dds238-2-zn-sr"
            second_proof = f"commissioning sheet {unit}"
        case MeterType.SDM230_RELAY:
            serial, profile = f"180744{unit:02}", "sdm230-relay8"
            switch_unit, switch_channel = BOARD_UNIT, unit - 9
    swapped = part is Part.METER_SWAPPED
    entry = MeterEntry(
        type=kind,
        unit=unit,
        serial=serial,
        account=f"73010{unit:02}",
        state=Position.OPEN if swapped else Position.CLOSED,
        load_w=150.0 + 40.0 * unit,
        faults=Faults(swapped="220315999999" if swapped else None),
        status_address=ACREL_STATUS_ADDRESS,
        switch_unit=switch_unit,
        switch_channel=switch_channel,
    )
    meter = Meter(
        account=f"73010{unit:02}",
        serial=serial,
        profile=profile,
        bus=BUS,
        unit=unit,
        dt=f"DT-{tuple(MeterType).index(kind) + 1}",
        switch_unit=switch_unit,
        switch_channel=switch_channel,
        second_proof=second_proof,
    )
    return Home(meter=meter, entry=entry, part=part)


class ForeignTruth(Protocol):
    """What another maker's meter says of its switch."""

    @property
    def closed(self) -> bool:
        """Whether it is closed."""


class ForeignMeters(Protocol):
    """Meters that another maker's Modbus runs on ports of the same wire, by unit address."""

    async def truth(self) -> Mapping[int, ForeignTruth]:
        """What is really the case."""


Foreign = Callable[[Mapping[int, str]], AbstractAsyncContextManager[ForeignMeters]]
"""Runs such meters, given each unit address's port."""


class Papers:
    """The utility's keys, and what it signs with them."""

    def __init__(
        self, homes: tuple[Home, ...], now_ms: int, pacing: Pacing = OBSERVED_BRIEFLY
    ) -> None:
        self._homes = homes
        self._pacing = pacing
        self.keys = KeySet.make(Algorithm.ED25519)
        self.root = self.keys.signed_root(now_ms)

    def site(self) -> bytes:
        """The roster."""
        site = Site(
            gateway=GATEWAY,
            seq=1,
            feeder="F-1",
            meters=tuple(home.meter for home in self._homes),
            pacing=self._pacing,
            disconnection=AT_ANY_HOUR,
            helpdesk_phone="1912",
        )
        return self.keys.site.sign(DocumentType.SITE, payload_of(site))

    def allow_list(self, seq: int, now_ms: int, *, and_also: Home | None = None) -> bytes:
        """The lit homes, and where given one more that has paid."""
        paid = [
            ListEntry(account=home.account, meter=home.serial, n=now_ms - DAY_MS)
            for home in self._homes
            if home.part is Part.LIT
        ]
        if and_also is not None:
            paid.append(ListEntry(account=and_also.account, meter=and_also.serial, n=now_ms))
        allow_list = AllowList(
            gateway=GATEWAY,
            seq=seq,
            as_of=now_ms,
            stale_after=now_ms + 30 * DAY_MS,
            accounts=tuple(paid),
        )
        return self.keys.list.sign(DocumentType.LIST, payload_of(allow_list))

    def disconnection(self, homes: list[Home], now_ms: int, *, seq: int, boot: str) -> bytes:
        """An order to cut these homes for arrears, under both order keys."""
        entries = [CutEntry(account=one.account, meter=one.serial, n=now_ms) for one in homes]
        order = Order(
            gateway=GATEWAY,
            id=f"cut-{seq}",
            seq=seq,
            iat=now_ms,
            exp=now_ms + ORDER_LIFE_MS,
            boot=boot,
            act=Disconnect(accounts=tuple(entries)),
        )
        return sign_together(self.keys.orders, DocumentType.ORDER, payload_of(order))

    def receipt(self, home: Home, now_ms: int) -> bytes:
        """One home's receipt."""
        return self._sign_receipt(self.keys.receipt, home, now_ms)

    def forged_receipt(self, home: Home, now_ms: int) -> bytes:
        """A receipt by somebody who knows the key's name, and has another key."""
        stranger = SigningKey.make(
            self.keys.receipt.kid, Algorithm.ED25519, self.keys.receipt.roles
        )
        return self._sign_receipt(stranger, home, now_ms)

    def digest(self, document: bytes) -> Digest:
        """What the journal calls a document by."""
        return verify(document, FIELD_DOCUMENTS, load_root(self.root)).digest

    @staticmethod
    def _sign_receipt(key: SigningKey, home: Home, now_ms: int) -> bytes:
        receipt = Receipt(
            account=home.account,
            meter=home.serial,
            n=now_ms,
            paid_at=now_ms,
            exp=now_ms + 7 * DAY_MS,
            gateway=GATEWAY,
            ref=f"R{home.account}",
        )
        return key.sign(DocumentType.RECEIPT, payload_of(receipt))


def install(folder: Path, papers: Papers, *, pty: str, broker: tuple[str, int]) -> Path:
    """What an installation leaves on the machine; answers the configuration's path."""
    (folder / "root.json").write_bytes(papers.root)
    (folder / "site.jws").write_bytes(papers.site())
    profiles = folder / "profiles"
    profiles.mkdir()
    (profiles / f"{ACREL_PROFILE}.toml").write_text(ACREL_SITE_PROFILE, encoding="utf-8")
    config = folder / "gateway.toml"
    config.write_text(
        f"""gateway = "{GATEWAY}"
utility = "{UTILITY}"
state_directory = "state"
trust_root = "root.json"
profiles_directory = "profiles"
documents = ["site.jws"]

[[bus]]
name = "{BUS}"
port = "{pty}"
baud = {BAUD}

[broker]
host = "{broker[0]}"
port = {broker[1]}
""",
        encoding="utf-8",
    )
    return config


class PowerCut(Value):
    """When the daemon is to be killed: so long after a line of the story, or after its start."""

    seconds: float
    after: str = ""
    """What the line contains."""


class Daemon:
    """`feeder-gateway run` in a process of its own, started again when it dies, as systemd does."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config = config
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0

    async def keep_running(self) -> None:
        """Run it until cancelled; then stop it in order."""
        try:
            while True:
                with self._log.open("ab") as log:
                    self._process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        "-m",
                        "gateway",
                        "run",
                        "--config",
                        str(self._config),
                        "--verbose",
                        stdout=log,
                        stderr=log,
                        stdin=asyncio.subprocess.DEVNULL,
                        # Out of reach of the terminal's Ctrl-C: it is stopped in order below.
                        start_new_session=True,
                    )
                self.starts += 1
                await self._process.wait()
                await asyncio.sleep(RESTART_S)
        finally:
            await self._stop()

    def cut_power(self) -> bool:
        """SIGKILL: the process ends between two instructions, as in a power cut.

        False where it is not running now.
        """
        if self._process is None or self._process.returncode is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return True

    async def _stop(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            await process.wait()


class PowerCuts:
    """Listens to the story and kills the daemon where it was asked to."""

    def __init__(
        self, daemon: Daemon, cuts: tuple[PowerCut, ...], say: Callable[[str], None]
    ) -> None:
        self._daemon = daemon
        self._waiting = list(cuts)
        self._say = say

    def begin(self) -> None:
        """The story starts."""
        self._arm("")

    def say(self, line: str) -> None:
        """Pass a line on; it may be one that a power cut was to follow."""
        self._say(line)
        self._arm(line)

    def _arm(self, line: str) -> None:
        due = [cut for cut in self._waiting if (cut.after in line if cut.after else not line)]
        for cut in due:
            self._waiting.remove(cut)
            asyncio.get_running_loop().call_later(cut.seconds, self._cut)

    def _cut(self) -> None:
        if self._daemon.cut_power():
            self._say("          power cut: the daemon is killed, and started again")
