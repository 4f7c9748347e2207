"""People: what a PIN or a badge's code is checked against, and the badge itself.

Owns the making of codes and of verifiers (argon2id, RFC 9106). Must never write a PIN or a code
down: a code is told once, and only what it is checked against travels.
"""

import os
import secrets

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.core.documents import place_and_mend
from gateway.core.people import BADGE_LIFE_MAX_MS, MEMORY_KIB_MIN, Badge
from gateway.core.soundness import Unsound, check_badge
from gateway.utility.files import Mistake, mistake_in

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0 and O, 1, I and L, and U, which are mistaken for others on paper."""
CODE_CHARACTERS = 10
PASSES = 2
LANES = 1
SALT_BYTES = 16
HASH_BYTES = 32
PIN_DIGITS = range(6, 13)
MENDS = {
    "LIFE_TOO_LONG": f"give --life {BADGE_LIFE_MAX_MS // 86_400_000}d at most",
    "EXPIRED_WHEN_ISSUED": "give a longer --life",
}


def new_code() -> str:
    """A code of 49 bits that can be read aloud."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARACTERS))


def verifier_of(secret: str) -> str:
    """What a PIN or a code is checked against: argon2id in PHC string form, with its own salt."""
    derivation = Argon2id(
        salt=os.urandom(SALT_BYTES),
        length=HASH_BYTES,
        iterations=PASSES,
        lanes=LANES,
        memory_cost=MEMORY_KIB_MIN,
    )
    return derivation.derive_phc_encoded(secret.encode())


def checked_pin(pin: str) -> str:
    """The PIN, if it is one. Raises `Mistake`, without it."""
    if not (pin.isascii() and pin.isdecimal()) or len(pin) not in PIN_DIGITS:
        digits = f"{PIN_DIGITS.start} to {PIN_DIGITS.stop - 1} digits"
        raise Mistake("the PIN", f"it is not {digits}", "choose another")
    if len(set(pin)) == 1:
        raise Mistake("the PIN", "one digit, again and again", "choose another")
    return pin


def checked_badge(draft: Badge) -> Badge:
    """The badge, if a gateway's page could take it. Raises `Mistake`."""
    try:
        badge = msgspec.convert(msgspec.to_builtins(draft), Badge)
        check_badge(badge)
    except msgspec.ValidationError as error:
        raise mistake_in("the badge", place_and_mend(error), "correct the option") from error
    except Unsound as unsound:
        wrong, _, mend = unsound.detail.partition("; ")
        mend = MENDS.get(unsound.name) or mend or "correct it"
        raise Mistake("the badge", f"{unsound.name}: {wrong}", mend) from unsound
    return badge
