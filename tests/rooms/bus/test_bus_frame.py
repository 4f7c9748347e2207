"""Requests and answers as bytes (rule B2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.frame import (
    Answer,
    Exceptional,
    Function,
    Read,
    Request,
    Write,
    answer_bytes,
    answer_in,
    encode,
    missing_bytes,
)
from tests.rooms.bus.wire import crc, framed, words

STATE = Read(unit=5, function=Function.READ_HOLDING, address=0x001A, count=1)
BITS = Read(unit=5, function=Function.READ_INPUTS, address=3, count=10)
COIL = Write(unit=5, function=Function.WRITE_COIL, address=2, values=(1,))
REGISTER = Write(unit=5, function=Function.WRITE_REGISTER, address=9, values=(7,))
GOOD = framed(5, 3, 2, words(0xBEEF))
REGISTERS = Write(unit=5, function=Function.WRITE_REGISTERS, address=0x57, values=(1, 0))


@pytest.mark.parametrize(
    ("request_", "frame"),
    [
        (STATE, framed(5, 3, words(0x1A, 1))),
        (BITS, framed(5, 2, words(3, 10))),
        (COIL, framed(5, 5, words(2, 0xFF00))),
        (REGISTER, framed(5, 6, words(9, 7))),
        (REGISTERS, framed(5, 16, words(0x57, 2), 4, words(1, 0))),
    ],
)
def test_a_request_is_what_the_standard_says(request_: Request, frame: bytes) -> None:
    assert encode(request_) == frame


@pytest.mark.parametrize(
    ("request_", "frame", "values"),
    [
        (STATE, framed(5, 3, 2, words(0xBEEF)), (0xBEEF,)),
        (BITS, framed(5, 2, 2, b"\x01\x02"), (1, 0, 0, 0, 0, 0, 0, 0, 0, 1)),
        (COIL, framed(5, 5, words(2, 0xFF00)), ()),
        (REGISTER, framed(5, 6, words(9, 7)), ()),
        (REGISTERS, framed(5, 16, words(0x57, 2)), ()),
    ],
)
def test_the_answer_that_belongs_is_taken(
    request_: Request, frame: bytes, values: tuple[int, ...]
) -> None:
    assert len(frame) == answer_bytes(request_)
    assert answer_in(frame, request_) == Answer(values=values)
    assert answer_in(frame[:-1], request_) is None


@pytest.mark.parametrize(
    ("request_", "frame"),
    [
        pytest.param(STATE, framed(6, 3, 2, words(1)), id="another unit"),
        pytest.param(STATE, framed(5, 4, 2, words(1)), id="another function"),
        pytest.param(STATE, framed(5, 3, 4, words(1, 1)), id="more registers than asked"),
        pytest.param(STATE, framed(5, 3, 1, b"\x01"), id="fewer bytes than asked"),
        pytest.param(STATE, framed(5, 3, 2, words(1))[:-1] + b"\x00", id="a bad CRC"),
        pytest.param(STATE, framed(5, 0x84, 2), id="an exception to another function"),
        pytest.param(COIL, framed(5, 5, words(3, 0xFF00)), id="another coil"),
        pytest.param(COIL, framed(5, 5, words(2, 0)), id="another value"),
        pytest.param(COIL, framed(5, 3, 2, words(1)), id="a read's answer for a write"),
        pytest.param(REGISTERS, framed(5, 16, words(0x57, 1)), id="another quantity"),
        pytest.param(REGISTERS, encode(REGISTERS), id="its own echo"),
    ],
)
def test_anything_else_is_no_answer(request_: Request, frame: bytes) -> None:
    assert answer_in(frame, request_) is None


def test_an_exception_is_an_answer() -> None:
    assert answer_in(framed(5, 0x83, 2), STATE) == Exceptional(code=2)


@given(noise=st.binary(max_size=40), value=st.integers(0, 0xFFFF))
def test_noise_before_a_good_frame_is_skipped(noise: bytes, value: int) -> None:
    heard = noise + framed(5, 3, 2, words(value))
    assert answer_in(heard, STATE) == Answer(values=(value,))


@given(at=st.integers(0, 6), flip=st.integers(1, 255))
def test_no_damaged_frame_is_taken(at: int, flip: int) -> None:
    frame = bytearray(framed(5, 3, 2, words(1)))
    frame[at] ^= flip
    assert answer_in(bytes(frame), STATE) is None


@pytest.mark.parametrize(
    ("request_", "heard", "missing"),
    [
        pytest.param(STATE, b"", 0, id="nothing"),
        pytest.param(STATE, b"\x55\x55", 0, id="noise"),
        pytest.param(STATE, GOOD[:1], 6, id="a unit"),
        pytest.param(STATE, GOOD[:3], 4, id="a head"),
        pytest.param(STATE, b"\x05\x55" + GOOD[:3], 4, id="a head after noise"),
        pytest.param(STATE, GOOD[:-1], 1, id="all but one"),
        pytest.param(STATE, GOOD, 0, id="all"),
        pytest.param(STATE, GOOD[:-1] + b"\x05", 0, id="all, with a CRC that looks like a unit"),
        pytest.param(STATE, framed(5, 0x83, 2)[:2], 3, id="an exception"),
        pytest.param(STATE, b"\x05\x03\x04", 0, id="the answer to something longer"),
        pytest.param(COIL, framed(5, 5, words(2, 0xFF00))[:6], 2, id="a write"),
        pytest.param(COIL, framed(5, 5, words(3, 0xFF00))[:4], 0, id="another coil"),
    ],
)
def test_of_an_answer_under_way_it_is_known_how_much_is_missing(
    request_: Request, heard: bytes, missing: int
) -> None:
    assert missing_bytes(heard, request_) == missing


@given(noise=st.binary(max_size=20), upto=st.integers(0, 6))
def test_never_is_more_said_to_be_missing_than_is(noise: bytes, upto: int) -> None:
    assert missing_bytes(noise + GOOD[:upto], STATE) <= len(GOOD) - upto or upto == 0


def test_a_frame_inside_anothers_data_is_no_answer() -> None:
    inner = framed(5, 3, 2, words(1))
    outer = bytes((9, 3, len(inner))) + inner
    assert answer_in(outer + crc(outer), STATE) is None


def test_noise_does_not_pass_for_an_exception_to_a_function_that_nobody_asks() -> None:
    noise, frame = b"\x09", framed(128, 5, words(1, 0xFF00))
    # The noise and the frame's head are, by accident, an exception of unit 9 with a good CRC.
    assert framed(9, 0x80, 5) == (noise + frame)[:5]
    request = Write(unit=128, function=Function.WRITE_COIL, address=1, values=(1,))
    assert answer_in(noise + frame, request) == Answer()


def test_a_broadcast_cannot_be_sent() -> None:
    with pytest.raises(AssertionError, match="broadcast"):
        encode(Write(unit=0, function=Function.WRITE_COIL, address=0, values=(1,)))
