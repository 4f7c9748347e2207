"""A file system of its own to measure on: what is really written to the device, and when.

Owns a loop device with ext4, where this machine lets us have one (root, losetup(8)); elsewhere an
ordinary directory, and what the kernel says that this process has handed to the disk (proc(5),
`write_bytes`: without the file system's own journal). `what` says which of them it was.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

SECTOR = 512
IMAGE_BYTES = 3 * 2**30
"""Sparse: only what is written takes room."""


@dataclass(frozen=True)
class Device:
    """A directory, and where its bytes are counted."""

    root: Path
    statistics: Path | None = None

    @property
    def what(self) -> str:
        """What the bytes are."""
        if self.statistics is None:
            return "bytes handed to the disk, without the file system's own journal"
        return "bytes written to the device: ext4 on a loop device"

    def written_bytes(self) -> int:
        """How many by now."""
        os.sync()
        if self.statistics is not None:
            return int(self.statistics.read_text().split()[6]) * SECTOR
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


@contextmanager
def device() -> Iterator[Device]:
    """One for the time of a measurement."""
    with TemporaryDirectory() as place:
        mounted = _mounted(Path(place)) if os.geteuid() == 0 and shutil.which("losetup") else None
        if mounted is None:
            yield Device(Path(place))
            return
        try:
            yield mounted
        finally:
            subprocess.run(("umount", mounted.root), check=True)


def _mounted(place: Path) -> Device | None:
    image, root = place / "image", place / "mounted"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    try:
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        _run("mount", "-o", "loop", image, root)
    except subprocess.CalledProcessError:
        return None
    name = _run("losetup", "-n", "-O", "NAME", "-j", image).strip().rpartition("/")[2]
    return Device(root, Path(f"/sys/block/{name}/stat"))


def _run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
