"""The collector's option for a RabbitMQ cluster.

Owns what is said of the nodes' addresses, and the one import of the AMQP library. Must never let a
password through that stands in an address, nor fail without the library where nobody asks for it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gateway.core.model import IdText
from gateway.headend.session import BrokerSettings
from gateway.utility.collecting import Collecting

if TYPE_CHECKING:
    from gateway.utility.amqp import AmqpCollector

SCHEMES = ("amqp", "amqps")


def checked_urls(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    """URLs of a cluster's nodes, as click asks for them."""
    for text in texts:
        _check(text)
    return texts


AMQP = click.option(
    "--amqp",
    "urls",
    multiple=True,
    callback=checked_urls,
    metavar="URL",
    help="A RabbitMQ node in place of --broker, amqp://HOST:PORT or amqps://...; once for "
    "each node of a cluster. Any number of collectors share the queue and the database.",
)


def amqp_collector(
    urls: tuple[str, ...],
    settings: BrokerSettings,
    *,
    utility: IdText,
    database: str,
    report: Callable[[Collecting], None],
) -> "AmqpCollector":
    """One worker on the cluster's queue. Raises `click.ClickException` without the library."""
    try:
        from gateway.utility.amqp import AmqpCollector  # noqa: PLC0415 - an extra
    except ImportError as error:
        mend = "pip install 'feeder-gateway[amqp]'"
        raise click.ClickException(f"--amqp: {error}; {mend}") from error
    return AmqpCollector(urls, settings, utility=utility, database=database, report=report)


def _check(text: str) -> None:
    try:
        parts = urlsplit(text)
        known = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise click.BadParameter(f"{text!r}: give amqp://HOST:PORT or amqps://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        # Every user of the machine sees the arguments of its processes.
        mend = "give --username and --password-file"
        raise click.BadParameter(f"{parts.hostname}: a name or password is in the URL; {mend}")
