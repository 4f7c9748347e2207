"""The command that prints what is said by MQTT, for whoever writes a head end.

Owns the command. Must never describe anything itself: the file lies beside the messages, written
from their types, and a test compares the two.
"""

from pathlib import Path

import click

import gateway.headend

FILE = Path(gateway.headend.__file__).with_name("asyncapi.yaml")


@click.command()
def asyncapi() -> None:
    """Print all topics and messages (AsyncAPI).

    AsyncAPI 3.0 as YAML: addresses, QoS, retain, schemas and an example of every message.

    \b
    Example:
      feeder-gateway utility asyncapi >asyncapi.yaml
    """
    click.echo(FILE.read_text(encoding="utf-8"), nl=False)
