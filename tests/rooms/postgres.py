"""A real PostgreSQL server for tests: its own folder, a socket and no port, gone at the end."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NOBODY = "nobody"
"""As root, who may not run a server, it runs as this user."""
PATIENCE_S = 60


class Postgres:
    """One server. `url` names its database of one test; `fresh` makes another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def make(self) -> None:
        """Lay out its files; once."""
        self._as_nobody_owns(self._folder)
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", self._data)

    def start(self, *settings: str) -> None:
        """Return when it serves."""
        given = ("listen_addresses=", f"unix_socket_directories={self._folder}", *settings)
        options = [part for each in given for part in ("-c", each)]
        command = (PROGRAMS[-1] / "postgres", "-D", self._data, *options)
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(self._as_nobody(*command), stderr=log, stdout=log)
        deadline = time.monotonic() + PATIENCE_S
        ready = self._as_nobody(PROGRAMS[-1] / "pg_isready", "-q", "-h", self._folder)
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            assert self._process.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and every connection with it."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait()

    def fresh(self) -> str:
        """The address of a database that is new."""
        self._databases += 1
        name = f"test{self._databases}"
        self._run("createdb", "-h", self._folder, "-U", "postgres", name)
        return f"postgresql://postgres@/{name}?host={self._folder}"

    def _run(self, program: str, *arguments: object) -> None:
        command = self._as_nobody(PROGRAMS[-1] / program, *arguments)
        subprocess.run(command, cwd=self._folder, check=True, stdout=subprocess.DEVNULL)

    def _as_nobody(self, *command: object) -> list[str]:
        said = [str(part) for part in command]
        if os.getuid() != 0:
            return said
        user = pwd.getpwnam(NOBODY)
        ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        return ["setpriv", *ids, "--", *said]

    @staticmethod
    def _as_nobody_owns(folder: Path) -> None:
        if os.getuid() == 0:
            user = pwd.getpwnam(NOBODY)
            os.chown(folder, user.pw_uid, user.pw_gid)


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A server for the time of the context."""
    # A socket's path is short, and the folder one that another user can reach.
    folder = Path(mkdtemp(prefix="pg-", dir="/tmp"))
    server = Postgres(folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
