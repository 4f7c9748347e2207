"""`bench`: the simulated line, alone.

Owns the group's name only. Must never be imported by the daemon.
"""

import click

from gateway.bench.line import line


@click.group()
def bench() -> None:
    """The simulated world, piece by piece.

    \b
    Example:
      feeder-gateway bench line --meters meters.json
    """


bench.add_command(line)
