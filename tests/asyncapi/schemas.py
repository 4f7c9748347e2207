"""The schemas of every message and document, as JSON Schema, from the types that decode them.

Owns how they are named and joined. Must never say by hand what a type says.
"""

import inspect
from typing import Any, get_args

import msgspec

from gateway.core.documents import AllowList, Receipt, Site, Time
from gateway.core.orders import Act, _OnTheWire
from gateway.core.records import Record
from gateway.core.status import Status
from gateway.core.trust import Root
from gateway.daemon import Birth
from gateway.headend.messages import Ack, Host, Presence, RecordsBatch
from gateway.headend.metering import ReadingsBatch
from gateway.headend.notes import MeterNote, OrderNote
from gateway.utility.drill import Drill

Plain = dict[str, Any]
DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "root": Root,
    "site": Site,
    "list": AllowList,
    "receipt": Receipt,
    "time": Time,
}
"""Payloads of signed documents, besides orders, by the word in their type."""
SPOKEN = (
    Status, Presence, Birth, RecordsBatch, ReadingsBatch, OrderNote, MeterNote, Ack, Host, Drill,
)  # fmt: skip
ORDER = "Order"
TEMPLATE = "#/components/schemas/{name}"
COMPACT = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"


def ref(kind: type | str) -> Plain:
    """A pointer to a schema."""
    return {"$ref": TEMPLATE.format(name=kind if isinstance(kind, str) else kind.__name__)}


def schemas() -> Plain:
    """Every schema, by name."""
    acts = get_args(Act)
    _, found = msgspec.json.schema_components(
        [*SPOKEN, *DOCUMENTS.values(), Record, _OnTheWire, *acts], ref_template=TEMPLATE
    )
    found["RecordsBatch"]["properties"]["records"]["items"] = ref(Record)
    found[ORDER] = _order(found.pop("_OnTheWire"), acts)
    for act in acts:
        found[f"{act.__name__}Args"] = _args(found[act.__name__])
    found["Signed"] = {
        "description": "A JWS in compact form (RFC 7515, 7.1): header, payload, signature.",
        "type": "string",
        "pattern": COMPACT,
    }
    found["SignedTogether"] = {
        "description": "One payload under several keys: for each a JWS in compact form.",
        "type": "array",
        "items": ref("Signed"),
        "minItems": 2,
    }
    tidy: Plain = _tidied(found)
    return dict(sorted(tidy.items()))


def _order(wire: Plain, acts: tuple[Any, ...]) -> Plain:
    kinds = [
        {"properties": {"kind": {"const": act.__struct_config__.tag}, "args": ref(f"{name}Args")}}
        for act in acts
        for name in (act.__name__,)
    ]
    assert len(kinds) == len({kind["properties"]["kind"]["const"] for kind in kinds})
    return {
        **wire,
        "title": ORDER,
        "description": "`fg-order+jws`: one instruction. Times in milliseconds UTC since 1970.",
        "oneOf": kinds,
    }


def _args(act: Plain) -> Plain:
    members = {name: one for name, one in act["properties"].items() if name != "kind"}
    required = [name for name in act["required"] if name != "kind"]
    return {**act, "title": f"{act['title']}Args", "properties": members, "required": required}


def _tidied(part: Any) -> Any:
    """Patterns as ECMA 262 has them, docstrings without their indent, no discriminators.

    AsyncAPI's discriminator is another than OpenAPI's; the tag's own `enum` tells kinds apart.
    """
    match part:
        case dict():
            kept = {name: _tidied(one) for name, one in part.items() if name != "discriminator"}
            if isinstance(kept.get("pattern"), str):
                kept["pattern"] = kept["pattern"].replace(r"\Z", "$")
            if isinstance(kept.get("description"), str):
                kept["description"] = inspect.cleandoc(kept["description"])
            return kept
        case list() | tuple():
            return [_tidied(one) for one in part]
        case _:
            return part
