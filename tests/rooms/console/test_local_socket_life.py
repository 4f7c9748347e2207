"""The local socket's place: taken, left, and never taken from somebody else."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.rooms.console.served import answers, serving


async def test_a_live_daemons_socket_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    async with serving(path):
        async with serving(path) as second:
            with pytest.raises(OSError, match="another daemon serves it"):
                await second
        assert await answers(path)


async def test_a_dead_daemons_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(path):
        assert await answers(path)
    assert not path.exists()


async def test_a_file_that_is_no_socket_is_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"records")
    async with serving(path) as task:
        with pytest.raises(OSError, match="in use"):
            await task
    assert path.read_bytes() == b"records"


async def test_a_caller_that_stays_does_not_hold_up_the_end(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    async with serving(path) as task:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"ask":"status"}\n')
        assert await reader.readline()
        task.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait({task})
            assert await reader.read() == b""
        writer.close()
