"""Orders: signed instructions of the head end to one gateway, as values.

Owns the kinds of order, what each names, and how many distinct keys each takes. Must never judge
one: `ordering` admits it, `disconnection` and `reconnection` rule on what follows.

On the wire an order is `gateway, id, seq, kind, args, iat, exp` and optionally `boot`; a member
that this gateway does not know is a mistake or a newer order than it understands: refused.
"""

from typing import Annotated, Any, Final, dataclass_transform, get_args

import msgspec

from gateway.core.model import AccountText, Count, IdText, SerialText, TimeMs, Value
from gateway.core.settings import BrokerChange, Change

TARGETS_MAX: Final = 200
"""Homes in one order: its record has to fit into one message."""
ReasonText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class CutEntry(Value, forbid_unknown_fields=True):
    """One account that is to be cut, by its meter, as of a ledger time."""

    account: AccountText
    meter: SerialText
    n: TimeMs


# As for `model.Value`: type checkers do not see that frozen is inherited.
@dataclass_transform(frozen_default=True, kw_only_default=True)
class _Act(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of what an order may ask for; the tag is the order's `kind`."""


class Disconnect(_Act, tag="disconnect"):
    """These accounts are cut for arrears."""

    accounts: Annotated[tuple[CutEntry, ...], msgspec.Meta(min_length=1, max_length=TARGETS_MAX)]


class ReleaseForce(_Act, tag="release_force"):
    """These meters, forced by us, go back to their own prepay logic, which may open them."""

    meters: Annotated[tuple[SerialText, ...], msgspec.Meta(min_length=1, max_length=TARGETS_MAX)]


class Reconnect(_Act, tag="reconnect"):
    """The supply of a paid account is asked for: it settles why the switch is open, nothing else.

    It grants nothing: an account that has not paid stays NOT_PAID.
    """

    account: AccountText
    meter: SerialText


class Hold(_Act, tag="hold"):
    """A meter must not be closed although paid."""

    meter: SerialText
    reason: ReasonText


class ReleaseHold(_Act, tag="release_hold"):
    """The head end's own hold on a meter is over."""

    meter: SerialText
    reason: ReasonText


class Isolate(_Act, tag="isolate"):
    """People are at work on a DT, or without one on the feeder."""

    reason: ReasonText
    dt: IdText | None = None


class EndIsolation(_Act, tag="end_isolation"):
    """The head end's own isolation of a DT, or of the feeder, is over."""

    reason: ReasonText
    dt: IdText | None = None


class Resume(_Act, tag="resume"):
    """A DT whose closes were stopped goes on."""

    dt: IdText
    reason: ReasonText


class Cancel(_Act, tag="cancel"):
    """What an earlier order asked for and has not begun is not done."""

    order: IdText


class Config(_Act, tag="config"):
    """Some settings are otherwise from now on, and for good once that is confirmed."""

    broker: BrokerChange | None = None
    log_level: str | None = None
    reset: bool = False
    """What was changed from afar before is taken back first."""

    @property
    def change(self) -> Change:
        """What is to be otherwise."""
        return Change(broker=self.broker, log_level=self.log_level)


class Confirm(_Act, tag="confirm"):
    """The head end is heard with the settings that an earlier order has changed: they stay."""

    order: IdText


class LogBundle(_Act, tag="log_bundle"):
    """What support needs to know of this gateway is sent, without secrets and accounts."""


class Scan(_Act, tag="scan"):
    """All addresses of a bus are asked who is there."""

    bus: IdText


class ForgetMeter(_Act, tag="forget_meter"):
    """What is kept of meters that have left the roster is forgotten; the records stay."""

    meters: Annotated[tuple[SerialText, ...], msgspec.Meta(min_length=1, max_length=TARGETS_MAX)]


class Wipe(_Act, tag="wipe"):
    """The gateway is taken out of service: what it was told of consumers is forgotten."""


class Read(_Act, tag="read"):
    """These meters are read at once: where their switches stand, and what they measure."""

    meters: Annotated[tuple[SerialText, ...], msgspec.Meta(min_length=1, max_length=TARGETS_MAX)]


class Rebirth(_Act, tag="rebirth"):
    """The gateway says again what it is and can do (`up/birth`)."""


Act = (
    Disconnect
    | ReleaseForce
    | Reconnect
    | Hold
    | ReleaseHold
    | Isolate
    | EndIsolation
    | Resume
    | Cancel
    | Config
    | Confirm
    | LogBundle
    | Scan
    | ForgetMeter
    | Wipe
    | Read
    | Rebirth
)
DANGEROUS: Final = (Disconnect, ReleaseForce, ForgetMeter, Wipe)
"""What can darken a home or forget one takes two distinct keys and comes by MQTT only."""
DANGEROUS_KEYS: Final = 2


_KINDS: Final[dict[str, type[Act]]] = {str(act.__struct_config__.tag): act for act in get_args(Act)}


class Order(Value):
    """`fg-order+jws`: one instruction. Times in milliseconds UTC since 1970."""

    gateway: IdText
    id: IdText
    seq: Count
    iat: TimeMs
    """Issued at."""
    exp: TimeMs
    act: Act
    boot: str | None = None
    """Echoes the nonce of a status: it was issued after that, whatever the calendar says."""


class _OnTheWire(Value, forbid_unknown_fields=True):
    gateway: IdText
    id: IdText
    seq: Count
    iat: TimeMs
    exp: TimeMs
    kind: str
    args: dict[str, Any]
    boot: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


def order_from(plain: object) -> Order:
    """The order of a decoded payload. Raises `msgspec.ValidationError`."""
    wire = msgspec.convert(plain, _OnTheWire)
    kind = _KINDS.get(wire.kind)
    if kind is None or "kind" in wire.args:
        known = ", ".join(_KINDS)
        raise msgspec.ValidationError(f"not a kind of order; write one of {known} - at `$.kind`")
    try:
        act = msgspec.convert(wire.args, kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise msgspec.ValidationError(f"{message} - at `$.args{where}") from error
    return Order(
        gateway=wire.gateway,
        id=wire.id,
        seq=wire.seq,
        iat=wire.iat,
        exp=wire.exp,
        act=act,
        boot=wire.boot,
    )


def plain_order(order: Order) -> dict[str, Any]:
    """The order's members as they stand on the wire."""
    args: dict[str, Any] = msgspec.to_builtins(order.act)
    kind = args.pop("kind")
    plain: dict[str, Any] = msgspec.to_builtins(order)
    del plain["act"]
    return {**plain, "kind": kind, "args": args}


def keys_needed(act: Act) -> int:
    """How many distinct order keys must have signed it."""
    return DANGEROUS_KEYS if isinstance(act, DANGEROUS) else 1


def kind_of(act: Act) -> str:
    """The order's kind, as it stands on the wire."""
    return str(act.__struct_config__.tag)
