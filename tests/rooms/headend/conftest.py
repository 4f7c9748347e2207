"""Where a collector keeps records: each test that asks is run once on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rooms.postgres import Postgres, postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "SQLite":
        return str(tmp_path / "records.db")
    return str(request.getfixturevalue("server").fresh())
