"""When a battery clock is fit to be believed, by files as the kernel shows them."""

from pathlib import Path

import pytest

from gateway.host.rtc import battery_clock_ms, low_voltage

SECONDS = 1_795_420_800


def shows(sysfs: Path, name: str = "rtc0", **files: str) -> Path:
    """A battery clock by whose word the kernel set its calendar, but for what is given."""
    clock = sysfs / name
    clock.mkdir(parents=True)
    for file, text in {"hctosys": "1\n", "since_epoch": f"{SECONDS}\n", **files}.items():
        (clock / file).write_text(text, encoding="utf-8")
    return clock


def test_a_battery_clock_that_set_the_calendar_is_read(tmp_path: Path) -> None:
    shows(tmp_path)
    assert battery_clock_ms(tmp_path, tmp_path / "dev") == SECONDS * 1_000


def test_one_whose_driver_cannot_tell_of_its_voltage_is_read(tmp_path: Path) -> None:
    shows(tmp_path / "sys")
    (tmp_path / "rtc0").write_bytes(b"")
    assert battery_clock_ms(tmp_path / "sys", tmp_path) == SECONDS * 1_000


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("hctosys", "0\n"),
        ("hctosys", ""),
        ("hctosys", "½"),
        ("since_epoch", ""),
        ("since_epoch", "soon\n"),
        ("since_epoch", "½"),
    ],
)
def test_one_that_says_otherwise_is_not_believed(tmp_path: Path, file: str, text: str) -> None:
    shows(tmp_path, **{file: text})
    assert battery_clock_ms(tmp_path, tmp_path) is None


@pytest.mark.parametrize("file", ["hctosys", "since_epoch"])
def test_one_that_cannot_be_read_is_not_believed(tmp_path: Path, file: str) -> None:
    # A driver that finds its oscillator stopped fails to read the time.
    (shows(tmp_path) / file).unlink()
    assert battery_clock_ms(tmp_path, tmp_path) is None


def test_of_several_the_one_that_set_the_calendar_counts(tmp_path: Path) -> None:
    shows(tmp_path, hctosys="0\n", since_epoch="5\n")
    shows(tmp_path, "rtc1")
    assert battery_clock_ms(tmp_path, tmp_path) == SECONDS * 1_000


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert battery_clock_ms(tmp_path, tmp_path) is None
    assert battery_clock_ms(tmp_path / "nowhere", tmp_path) is None


@pytest.mark.parametrize(
    ("flags", "low"),
    [(0, False), (1, True), (2, True), (4, True), (8, True), (16, False), (17, True)],
)
def test_a_driver_says_that_the_voltage_was_low(flags: int, *, low: bool) -> None:
    assert low_voltage(flags) is low
