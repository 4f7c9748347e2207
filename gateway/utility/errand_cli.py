"""The commands that sign orders to the gateway itself: one for each kind.

Owns their arguments. Must never decide what may be signed: `ordering` does.
"""

import click

from gateway.core.orders import (
    Config,
    Confirm,
    ForgetMeter,
    LogBundle,
    Read,
    Rebirth,
    Scan,
    Wipe,
)
from gateway.core.settings import LEVELS, BrokerChange
from gateway.utility.broker import checked_id
from gateway.utility.order_cli import Sheet, order_options

METERS = click.option(
    "--meter", "meters", multiple=True, required=True, help="Serial number; once for each meter."
)


@click.command()
@METERS
@order_options
def read(sheet: Sheet, meters: tuple[str, ...]) -> None:
    """Read meters at once, ahead of polling.

    \b
    Example:
      feeder-gateway utility order read --meter 23014477 --meter 23014478 \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out read.jws
    """
    sheet.sign(Read(meters=meters))


@click.command()
@order_options
def rebirth(sheet: Sheet) -> None:
    """Have the gateway say again what it is and can do.

    \b
    Example:
      feeder-gateway utility order rebirth --gateway rewa-7 --seq 8 \\
          --key keys/order-1.json --out rebirth.jws
    """
    sheet.sign(Rebirth())


@click.command()
@click.option("--host", help="The broker's name or address.")
@click.option("--port", type=int, help="The broker's port.")
@click.option("--keepalive", type=int, help="Seconds between two signs of life to the broker.")
@click.option("--log-level", type=click.Choice(LEVELS), help="How much is logged.")
@click.option("--reset", is_flag=True, help="Take back first what was changed from afar before.")
@order_options
def config(
    sheet: Sheet,
    host: str | None,
    port: int | None,
    keepalive: int | None,
    log_level: str | None,
    reset: bool,
) -> None:
    """Change where the gateway's broker is, or how much it logs.

    It is tried at once and taken back by itself unless a confirm order comes within 120 s, over
    the link that was made with it.

    \b
    Example:
      feeder-gateway utility order config --host mqtt2.utility.example --port 1883 \\
          --gateway rewa-7 --seq 8 --key keys/order-1.json --out config.jws
    """
    broker = None
    if (host, port, keepalive) != (None, None, None):
        broker = BrokerChange(host=host, port=port, keepalive_s=keepalive)
    sheet.sign(Config(broker=broker, log_level=log_level, reset=reset))


@click.command()
@click.option(
    "--order", "tried", callback=checked_id, required=True, help="Id of the config order."
)
@order_options
def confirm(sheet: Sheet, tried: str) -> None:
    """Keep what a config order has changed.

    Publish it at the broker to which the gateway has moved.

    \b
    Example:
      feeder-gateway utility order confirm --order config-1795392000000 \\
          --gateway rewa-7 --seq 9 --key keys/order-1.json --out confirm.jws
    """
    sheet.sign(Confirm(order=tried))


@click.command("log-bundle")
@order_options
def log_bundle(sheet: Sheet) -> None:
    """Have the gateway send what support needs to know.

    The last lines of its log, its status and its settings, without secrets and account numbers.

    \b
    Example:
      feeder-gateway utility order log-bundle --gateway rewa-7 --seq 8 \\
          --key keys/order-1.json --out log-bundle.jws
    """
    sheet.sign(LogBundle())


@click.command()
@click.option("--bus", callback=checked_id, required=True, help="Its name in the configuration.")
@order_options
def scan(sheet: Sheet, bus: str) -> None:
    """Have a bus looked around for who answers at which address.

    Reads only, in the bus's idle time; within an hour.

    \b
    Example:
      feeder-gateway utility order scan --bus A --gateway rewa-7 --seq 8 \\
          --key keys/order-1.json --out scan.jws
    """
    sheet.sign(Scan(bus=bus))


@click.command("forget-meter")
@METERS
@order_options
def forget_meter(sheet: Sheet, meters: tuple[str, ...]) -> None:
    """Forget what is kept of meters that have left the roster.

    The records of them stay. Two distinct keys sign it.

    \b
    Example:
      feeder-gateway utility order forget-meter --meter 23014477 --gateway rewa-7 --seq 8 \\
          --key keys/order-1.json --key keys/order-2.json --out forget.jws
    """
    sheet.sign(ForgetMeter(meters=meters))


@click.command()
@order_options
def wipe(sheet: Sheet) -> None:
    """Take a gateway out of service.

    It forgets site, list, receipts and the head end's own tags, and neither closes nor opens
    anything until a site document with a higher number comes. Two distinct keys sign it.

    \b
    Example:
      feeder-gateway utility order wipe --gateway rewa-7 --seq 8 \\
          --key keys/order-1.json --key keys/order-2.json --out wipe.jws
    """
    sheet.sign(Wipe())


ERRANDS = (read, rebirth, config, confirm, log_bundle, scan, forget_meter, wipe)
"""Beside the commands of `order_cli`, under the same word."""
