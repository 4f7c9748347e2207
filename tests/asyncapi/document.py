"""The whole AsyncAPI document of the head-end link, from the gateway's side.

Owns what is said of the broker and of who may connect. Must never say what a type or a constant
says.
"""

from pathlib import Path

from gateway.core.model import GatewayId
from gateway.headend.dialler import PACKET_MAX, SESSION_EXPIRY_S
from gateway.headend.messages import pack_absence
from gateway.headend.session import PORT, PORT_TLS, BrokerSettings
from tests.asyncapi.channels import PARAMETERS, TOPICS, channels, messages, operations
from tests.asyncapi.examples import examples
from tests.asyncapi.schemas import Plain, schemas
from tests.asyncapi.yaml_text import yaml_text

FILE = Path(__file__).parents[2] / "gateway" / "headend" / "asyncapi.yaml"
HOST = "mqtt.utility.example"
ABOUT = """\
What a feeder gateway says and hears by MQTT 5.0 or 3.1.1, seen from the gateway.

That a broker took a message means nothing: a record stays in the gateway's outbox until `ack` names
it. Every word of the utility is a signed document on `document`; who published it does not matter.
Times are milliseconds UTC since 1970, energy is in Wh, voltage in mV, current in mA, power in W.
A gateway writes below `{root}/v1/{utility}/{gateway}/up/` and reads below `.../down/`, and needs no
other right.

`python -m tests.asyncapi` writes this file from the types that decode the messages."""


def document() -> Plain:
    """The document as plain values."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:feeder-gateway:mqtt:v1",
        "info": {
            "title": "Feeder gateway",
            "version": "1.0.0",
            "description": ABOUT,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
            "tags": [{"name": "mqtt"}],
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": _server("secure-mqtt", PORT_TLS, "The utility's broker: TLS 1.2 or newer."),
            "brokerWithoutTls": _server("mqtt", PORT, "For a wire that nobody else is on."),
        },
        "channels": channels(),
        "operations": operations(),
        "components": {
            "securitySchemes": {
                "certificate": {
                    "type": "X509",
                    "description": "The gateway's own certificate, `[broker.tls]`.",
                },
                "password": {
                    "type": "userPassword",
                    "description": "`username` and `password_file` of `[broker]`.",
                },
            },
            "parameters": PARAMETERS,
            "messages": messages(examples()),
            "schemas": schemas(),
        },
    }


def text() -> str:
    """The file."""
    return yaml_text(document())


def _server(protocol: str, port: int, says: str) -> Plain:
    names = ("certificate", "password") if protocol == "secure-mqtt" else ("password",)
    return {
        "host": f"{{host}}:{port}",
        "protocol": protocol,
        "protocolVersion": "5.0",
        "description": says,
        "variables": {"host": {"default": HOST, "description": "`host` of `[broker]`."}},
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in names],
        "bindings": {
            "mqtt": {
                "clientId": "fg-{gateway}",
                "cleanSession": False,
                "keepAlive": BrokerSettings(host=HOST).keepalive_s,
                "sessionExpiryInterval": SESSION_EXPIRY_S,
                "maximumPacketSize": PACKET_MAX,
                "lastWill": {
                    "topic": TOPICS.status,
                    "qos": 1,
                    "retain": True,
                    "message": pack_absence(GatewayId("{gateway}")).decode(),
                },
                "bindingVersion": "0.2.0",
            }
        },
    }
