"""The masters that are compared: how each is started, and what to install where one is not here."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.bus.heard import Baud

HERE: Final = Path(__file__).parent
CHECKOUT: Final = HERE.parents[2]
TIMEOUT_S: Final = 0.3
"""Given to every master, except where its own default is looked at."""
PATIENCE_S: Final = 300.0
"""A master that takes longer over a task hangs."""
DEFAULT_TIMEOUTS_S: Final = {
    "this": 0.3,
    "pymodbus-async": 3.0,
    "pymodbus-async-silent": 3.0,
    "pymodbus-sync": 3.0,
    "minimalmodbus": 0.05,
    "libmodbus": 0.5,
    "mbpoll": 1.0,
    "modbus-serial": 0.3,
}
"""What each waits for an answer if nobody says; modbus-serial for ever, unless it is told."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a master is to do: so many reads of two registers, in this order over and over."""

    port: str
    baud: Baud
    order: tuple[tuple[int, int], ...]
    """Units and addresses."""
    reads: int
    timeout_s: float | None = TIMEOUT_S
    """None: the master's own."""


class Done(msgspec.Struct, frozen=True):
    """What became of the reads, and the processor time that they took."""

    right: int
    wrong: int
    none: int
    cpu_s: float


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One master."""

    name: str
    label: str
    install: str = ""
    """The command that brings it here."""
    picks_registers: bool = True
    """It can read one register after another; else only the same of every unit."""


class Present(msgspec.Struct, frozen=True):
    """A master that is here: the command to which a task is added, and its version."""

    peer: Peer
    command: tuple[str, ...]
    version: str


THIS: Final = Peer(name="this", label="this master")
PEERS: Final = (
    THIS,
    Peer(
        name="pymodbus-async",
        label="pymodbus async",
        install="pip install 'pymodbus[serial]>=3.16,<3.17'",
    ),
    Peer(
        name="pymodbus-async-silent",
        label="pymodbus async, silence added",
        install="pip install 'pymodbus[serial]>=3.16,<3.17'",
    ),
    Peer(
        name="pymodbus-sync",
        label="pymodbus sync",
        install="pip install 'pymodbus[serial]>=3.16,<3.17'",
    ),
    Peer(
        name="minimalmodbus",
        label="minimalmodbus",
        install="pip install minimalmodbus (elsewhere: name that interpreter with --python)",
    ),
    Peer(name="libmodbus", label="libmodbus", install="apt-get install libmodbus5"),
    Peer(name="mbpoll", label="mbpoll", install="apt-get install mbpoll", picks_registers=False),
    Peer(
        name="modbus-serial",
        label="modbus-serial",
        install="apt-get install nodejs npm && npm install modbus-serial (then --node-modules)",
    ),
)
REFERENCE: Final = Peer(name="spinning", label="a bare loop that spins")
"""No master: what is left to win on this machine and this line."""


class Places(msgspec.Struct, frozen=True):
    """Where things lie that are not in the project's own environment."""

    python: str = ""
    """An interpreter that has the Python masters this one lacks."""
    node_modules: str = ""

    def environment(self) -> dict[str, str]:
        """The environment of a master's process."""
        node_path = {"NODE_PATH": self.node_modules} if self.node_modules else {}
        return {**os.environ, **node_path, "PYTHONPATH": str(CHECKOUT)}


async def find(peer: Peer, places: Places) -> Present | None:
    """Where a master is and its version; None: it is not here."""
    for command in _commands(peer, places):
        try:
            said = await output((*command, "--version"), places)
        except (OSError, RuntimeError):
            continue
        return Present(peer, command, said.decode().strip())
    return None


async def drive(present: Present, task: Task, places: Places) -> Done:
    """Run a master over a task. `RuntimeError` if it fell over or hangs."""
    words = (*present.command, msgspec.json.encode(task).decode())
    said = await output(words, places)
    return msgspec.json.decode(said.splitlines()[-1], type=Done)


def _commands(peer: Peer, places: Places) -> Sequence[tuple[str, ...]]:
    if peer is THIS:
        return ((sys.executable, "-m", "tests.bench.bus.this_master", peer.name),)
    if peer.name == "modbus-serial":
        return (("node", str(HERE / "modbus_serial.cjs"), peer.name),)
    interpreters = [sys.executable, *([places.python] if places.python else [])]
    return [(one, str(HERE / "drive.py"), peer.name) for one in interpreters]


async def output(words: Sequence[str], places: Places) -> bytes:
    """What a program says. `RuntimeError` if it fell over or hangs, `OSError` if it is not here."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=places.environment(),
        cwd=CHECKOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            said, cried = await process.communicate()
    except TimeoutError:
        raise RuntimeError(f"hangs: {' '.join(words)}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = cried.decode().strip().rpartition("\n")[2]
        raise RuntimeError(f"fell over: {' '.join(words)}: {last}")
    return said
