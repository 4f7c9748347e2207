"""Who answers at one address: questions that only read, and what their answers prove.

Owns what an unknown address is asked, and in which order. Must never write: there is no word for
it here. Must never compare with the roster (`corrections` does).

What is known of the address is asked first, then what the types of this site have, and once
somebody has been heard there, what all known types have.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from enum import StrEnum
from typing import Final

from gateway.bus.blocks import Coding
from gateway.bus.budget import Speed, miss_s
from gateway.bus.device import Device
from gateway.bus.frame import Read
from gateway.bus.profile import Profile
from gateway.bus.reading import identity_read, measure_reads, serial_of, state_of, state_read
from gateway.bus.rtu import Failure, Fault, Reply, Timing
from gateway.core.model import Serial, SupplyState, Value

TRIES: Final = 2
"""Of a question whose answer cannot be read, or that somebody was expected to answer."""
GARBLED_MIN: Final = 3
"""So many answers that cannot be read, out of an address, are no chance."""


class Presence(StrEnum):
    """What is at an address."""

    SILENT = "SILENT"
    ANSWERS = "ANSWERS"
    CROWDED = "CROWDED"
    """What comes cannot be read, or is another's each time: two may have the same address."""


class Asks(StrEnum):
    """What a question is about."""

    NUMBER = "NUMBER"
    """The serial number."""
    STATE = "STATE"
    VALUE = "VALUE"


class Question(Value):
    """One read, as a meter of this type would be asked."""

    profile: str
    device: Device
    request: Read
    asks: Asks

    @property
    def timing(self) -> Timing:
        """How fast such a meter answers."""
        return self.device.profile.timing

    @property
    def coding(self) -> Coding | None:
        """How a serial number is held; None where it is not asked for."""
        identity = self.device.profile.identity
        return identity.coding if identity is not None and self.asks is Asks.NUMBER else None


class Resident(Value):
    """Who was found at an address.

    `profile` is the type whose register gave the serial number or, without one, whose state could
    be read; None where nothing known fits.
    """

    presence: Presence
    serial: Serial | None = None
    profile: str | None = None


SILENT: Final = Resident(presence=Presence.SILENT)
CROWDED: Final = Resident(presence=Presence.CROWDED)
Put = Callable[[Question], Awaitable[Reply | Fault]]


class Questions:
    """What may be asked of a line: of each address what is expected there, and of all the types."""

    def __init__(self, devices: Sequence[Device], profiles: Mapping[str, Profile]) -> None:
        """`devices`: those that the roster has on this line."""
        self.known = frozenset(device.serial for device in devices)
        self._here: dict[int, list[Question]] = {}
        site: dict[str, Profile] = {}
        for device in devices:
            name = next(name for name, it in profiles.items() if it == device.profile)
            site[name] = device.profile
            for question in _questions(name, device):
                self._here.setdefault(question.request.unit, []).append(question)
        self._site = site
        self._others = {name: it for name, it in profiles.items() if name not in site}

    def here(self, unit: int) -> tuple[Question, ...]:
        """What the roster's devices have at this address."""
        return tuple(self._here.get(unit, ()))

    def opening(self, unit: int) -> tuple[Question, ...]:
        """What shows whether anybody is there: of each type of this site its first question."""
        types = self._site or self._others
        firsts = (next(iter(_of_type(name, it, unit)), None) for name, it in types.items())
        return _unlike((*self.here(unit), *(one for one in firsts if one is not None)))

    def numbers_of_site(self, unit: int) -> tuple[Question, ...]:
        """What shows a serial number, of what is expected there and of the types of this site."""
        return _numbers((*self.here(unit), *_of_types(self._site, unit)))

    def numbers_of_others(self, unit: int) -> tuple[Question, ...]:
        """What shows a serial number, of all other types."""
        return _numbers(_of_types(self._others, unit))

    def states(self, unit: int) -> tuple[Question, ...]:
        """What shows by its state who is there: what is expected, and types without a number."""
        unnumbered = (
            one for one in _of_types(self._site, unit) if one.device.profile.identity is None
        )
        asked = (*self.here(unit), *unnumbered)
        return _unlike(one for one in asked if one.asks is Asks.STATE)

    def silent_s(self, unit: int, speed: Speed) -> float:
        """How long it takes to find nobody there."""
        opening = self.opening(unit)
        again = len(self.here(unit)[:1])
        asked = (*opening, *opening[:again])
        return sum(miss_s(one.request, one.timing, speed) for one in asked)


async def resident_at(unit: int, questions: Questions, put: Put) -> Resident:
    """Ask until it is known who is there. `put` does one exchange."""
    garbled = 0
    for at, question in enumerate(questions.opening(unit)):
        expected = at == 0 and bool(questions.here(unit))
        answers = [answer async for answer in _asked(question, put, again=expected)]
        garbled += sum(_is_garbled(answer) for answer in answers)
        if _is_answer(answers[-1]):
            return await _identified(unit, questions, put)
        if garbled >= GARBLED_MIN:
            return CROWDED
    return SILENT


async def _identified(unit: int, questions: Questions, put: Put) -> Resident:
    # At a type that is not asked for, any register may look like a serial number: what this site
    # has is believed first.
    return (
        await _by_number(questions.numbers_of_site(unit), questions, put)
        or await _by_state(questions.states(unit), put)
        or await _by_number(questions.numbers_of_others(unit), questions, put)
        or Resident(presence=Presence.ANSWERS)
    )


async def _by_number(asked: Sequence[Question], questions: Questions, put: Put) -> Resident | None:
    found: tuple[Question, Serial] | None = None
    garbled = 0
    for question in asked:
        again = question in questions.here(question.request.unit)
        answers = [answer async for answer in _asked(question, put, again=again)]
        garbled += sum(_is_garbled(answer) for answer in answers)
        if garbled >= GARBLED_MIN:
            return CROWDED
        serial = _serial(question, answers[-1])
        if serial is not None and (found is None or serial in questions.known):
            found = (question, serial)
        if serial in questions.known:
            break
    if found is None:
        return None
    question, serial = found
    # Once more: of two at one address, the other may be the one that is heard now.
    if _serial(question, await put(question)) not in {None, serial}:
        return CROWDED
    return Resident(presence=Presence.ANSWERS, serial=serial, profile=question.profile)


async def _by_state(asked: Sequence[Question], put: Put) -> Resident | None:
    for question in asked:
        answer = await put(question)
        if isinstance(answer, Fault):
            continue
        state = state_of(question.device.profile, answer.values[0])
        if state is not SupplyState.UNKNOWN:
            return Resident(presence=Presence.ANSWERS, profile=question.profile)
    return None


async def _asked(question: Question, put: Put, *, again: bool) -> AsyncIterator[Reply | Fault]:
    """What comes, asked once more where it cannot be read, and with `again` where none came."""
    for _ in range(TRIES):
        answer = await put(question)
        yield answer
        if _is_answer(answer) or not (again or _is_garbled(answer)):
            return


def _serial(question: Question, answer: Reply | Fault) -> Serial | None:
    identity = question.device.profile.identity
    if isinstance(answer, Fault) or identity is None:
        return None
    serial = serial_of(identity, answer.values)
    # Registers that mean something else at another type mostly hold nothing.
    return serial if serial is not None and serial.strip("0") else None


def _is_answer(answer: Reply | Fault) -> bool:
    return isinstance(answer, Reply) or answer.failure is Failure.EXCEPTION


def _is_garbled(answer: Reply | Fault) -> bool:
    garbled = {Failure.GARBLED, Failure.MISMATCHED}
    return isinstance(answer, Fault) and answer.failure in garbled


def _of_types(profiles: Mapping[str, Profile], unit: int) -> Iterator[Question]:
    return (one for name, it in profiles.items() for one in _of_type(name, it, unit))


def _of_type(name: str, profile: Profile, unit: int) -> Sequence[Question]:
    """The questions of a meter of this type at this address, but not of a board beside it."""
    alone = profile.ability.needs_switch_unit
    device = Device(serial=Serial(""), profile=profile, unit=unit, measures_only=alone)
    return _questions(name, device)


def _questions(name: str, device: Device) -> Sequence[Question]:
    value = next((read.request for read in measure_reads(device)), None)
    asked = (
        (Asks.NUMBER, identity_read(device)),
        (Asks.STATE, state_read(device)),
        (Asks.VALUE, value),
    )
    return [
        Question(profile=name, device=device, request=request, asks=asks)
        for asks, request in asked
        if request is not None
    ]


def _numbers(questions: Iterable[Question]) -> tuple[Question, ...]:
    return _unlike(one for one in questions if one.asks is Asks.NUMBER)


def _unlike(questions: Iterable[Question]) -> tuple[Question, ...]:
    """Each question once; the same registers may hold a number in more than one coding."""
    first: dict[tuple[Read, Coding | None], Question] = {}
    for question in questions:
        first.setdefault((question.request, question.coding), question)
    return tuple(first.values())
