"""Start a cluster for playing, print its addresses, stop it at Ctrl-C."""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from tests.rooms.rabbitmq_cluster import NODES, PASSWORD, USER, rabbitmq_cluster


async def main(folder: Path) -> None:
    """Serve until cancelled."""
    sys.stdout.write(f"starting {NODES} nodes...\n")
    sys.stdout.flush()
    async with rabbitmq_cluster(folder) as cluster:
        for node in cluster.nodes:
            mqtt = f"{node.host}:{node.mqtt_port}"
            sys.stdout.write(f"{node.name}  MQTT {mqtt}  AMQP {node.amqp_url}\n")
        sys.stdout.write(f"AMQP user {USER}, password {PASSWORD}; Ctrl-C stops it\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def until_interrupted(folder: Path) -> None:
    """The same until Ctrl-C or SIGTERM, also while it starts."""
    serving = asyncio.create_task(main(folder))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()
    sys.stdout.write("stopped\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="rabbitmq-") as temporary:
        asyncio.run(until_interrupted(Path(temporary)))
