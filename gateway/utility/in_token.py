"""Keys in a token: a smart card, an HSM or a USB key that signs and never gives the key out.

Owns the talk with it (PKCS #11, by python-pkcs11). Must never log, print or keep a PIN: it comes
from the environment or from the person at the keyboard, is used once and forgotten.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click
import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import PinIncorrect, PinLocked, PKCS11Error
from pkcs11.types import SignMixin

from gateway.core.trust import Algorithm
from gateway.utility.files import Mistake
from gateway.utility.key_file import TokenPlace

PIN_VARIABLE = "FEEDER_GATEWAY_PKCS11_PIN"
KEY_TYPE = {Algorithm.ED25519: KeyType.EC_EDWARDS, Algorithm.ES256: KeyType.EC}
GENERATION = {
    Algorithm.ED25519: Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
    Algorithm.ES256: Mechanism.EC_KEY_PAIR_GEN,
}
CURVE = {
    Algorithm.ED25519: bytes.fromhex("06032b6570"),
    Algorithm.ES256: bytes.fromhex("06082a8648ce3d030107"),
}
"""CKA_EC_PARAMS: the object identifier of the curve (RFC 8410, RFC 5480)."""
POINT_BYTES = {Algorithm.ED25519: 32, Algorithm.ES256: 65}
OCTET_STRING = 4


class TokenHalf:
    """A private half in a token."""

    __slots__ = ("_alg", "_place", "_public")

    def __init__(self, place: TokenPlace, alg: Algorithm, public: bytes) -> None:
        """Nothing is asked of the token yet."""
        self._place = place
        self._alg = alg
        self._public = public

    def public_octets(self) -> bytes:
        """The public half, as the key's file says it."""
        return self._public

    def signature(self, signed: bytes) -> bytes:
        """The 64 bytes of a JWS signature over these bytes. Raises `Mistake`."""
        with _session(self._place, pin=_pin_of(self._place)) as session:
            key = session.get_key(
                object_class=ObjectClass.PRIVATE_KEY,
                key_type=KEY_TYPE[self._alg],
                label=self._place.label,
            )
            if not isinstance(key, SignMixin):
                raise Mistake(self._place, "that key is not for signing", "name another --label")
            if self._alg is Algorithm.ED25519:
                return key.sign(signed, mechanism=Mechanism.EDDSA)
            # The plain mechanism is the one that every token has; it gives r and s, RFC 7518's own.
            return key.sign(hashlib.sha256(signed).digest(), mechanism=Mechanism.ECDSA)

    def in_file(self) -> TokenPlace:
        """Its place."""
        return self._place


def found_in_token(place: TokenPlace) -> tuple[Algorithm, TokenHalf] | None:
    """The key of that label, by its public half; None: there is none. Raises `Mistake`."""
    with _session(place) as session:
        keys = session.get_objects(
            {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: place.label}
        )
        found = [(_algorithm_of(key, place), key[Attribute.EC_POINT]) for key in keys]
    if len(found) > 1:
        raise Mistake(place, "the token has several keys of that label", "give each its own")
    if not found:
        return None
    alg, point = found[0]
    return alg, TokenHalf(place, alg, _octets_of(alg, point, place))


def make_in_token(place: TokenPlace, alg: Algorithm) -> TokenHalf:
    """A new key pair that the token makes and never gives out. Raises `Mistake`."""
    with _session(place, pin=_pin_of(place), writes=True) as session:
        parameters = session.create_domain_parameters(
            KEY_TYPE[alg], {Attribute.EC_PARAMS: CURVE[alg]}, local=True
        )
        public, _ = parameters.generate_keypair(
            store=True,
            label=place.label,
            mechanism=GENERATION[alg],
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        point = public[Attribute.EC_POINT]
    return TokenHalf(place, alg, _octets_of(alg, point, place))


@contextmanager
def _session(
    place: TokenPlace, *, pin: str | None = None, writes: bool = False
) -> Iterator[pkcs11.Session]:
    try:
        token = pkcs11.lib(place.module).get_token(token_label=place.token)
        with token.open(rw=writes, user_pin=pin) as session:
            yield session
    except PinIncorrect as error:
        raise Mistake(
            place,
            "PinIncorrect: the token refuses the PIN",
            f"correct it; unset {PIN_VARIABLE} to be asked for each token",
        ) from error
    except PinLocked as error:
        raise Mistake(place, "PinLocked: too many wrong PINs", "unlock the token") from error
    except PKCS11Error as error:
        said = f"{type(error).__name__} {error}".strip()
        raise Mistake(place, said, "check module, token and label of the key file") from error


def _pin_of(place: TokenPlace) -> str:
    given = os.environ.get(PIN_VARIABLE)
    if given is not None:
        return given
    try:
        asked: str = click.prompt(f"PIN for {place}", hide_input=True, err=True)
    except click.Abort as error:
        raise Mistake(place, "no PIN was given", f"type it, or set {PIN_VARIABLE}") from error
    return asked


def _algorithm_of(key: pkcs11.Object, place: TokenPlace) -> Algorithm:
    # A token that knows no Edwards curves has no key of that type either.
    for alg, key_type in KEY_TYPE.items():
        if key[Attribute.KEY_TYPE] == key_type and (
            alg is Algorithm.ED25519 or key[Attribute.EC_PARAMS] == CURVE[alg]
        ):
            return alg
    raise Mistake(place, "neither Ed25519 nor P-256", "make one of these with `key`")


def _octets_of(alg: Algorithm, point: bytes, place: TokenPlace) -> bytes:
    # CKA_EC_POINT is a DER octet string (PKCS #11 section 2.3.3); some tokens leave its frame out.
    size = POINT_BYTES[alg]
    octets = point[2:] if point[:2] == bytes((OCTET_STRING, size)) else point
    if len(octets) != size:
        raise Mistake(place, f"a public point of {len(octets)} bytes", "make the key with `key`")
    return octets
