"""The command line as a whole: the daemon's commands, the other end's and the simulated world's.

Owns only that they stand under one name: the one place that sees all of them. Must never import a
group before it is used, so that the daemon pays for neither.
"""

import importlib

import click

from gateway.cli import main

ELSEWHERE = {
    "utility": "gateway.utility.cli",
    "demo": "gateway.bench.demo",
    "bench": "gateway.bench.cli",
}
"""Commands by the module that has them under the same name."""


class _Late(click.Group):
    """A group some of whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(ELSEWHERE[cmd_name]), cmd_name)
        return command


program = _Late(
    name="feeder-gateway",
    commands=main.commands,
    params=main.params,
    callback=main.callback,
    help=main.help,
    context_settings=main.context_settings,
)

if __name__ == "__main__":
    program()
