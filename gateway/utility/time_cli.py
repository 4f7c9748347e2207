"""The command that signs what time it is, for a gateway that has no clock it may trust.

Owns its arguments. Must never sign a time that no gateway has asked for: it would set the clock of
whoever gets hold of it later.
"""

from pathlib import Path

import click
import msgspec

from gateway.core.documents import Time, place_and_mend
from gateway.core.model import IdText
from gateway.core.signature import DocumentType
from gateway.headend.session import BrokerSettings
from gateway.host.clock import wall_ms
from gateway.utility.arguments import JSON, KEY, OUT, nonce_from, put, tells_mistakes
from gateway.utility.broker import ask_options, checked_id
from gateway.utility.files import mistake_in
from gateway.utility.sign import SigningKey, payload_of


@click.command()
@click.option("--nonce", help="As the gateway's status says it, at most 15 minutes ago.")
@click.option("--gateway", callback=checked_id, help="With --ask-broker: whose nonce.")
@KEY
@OUT
@JSON
@ask_options
@tells_mistakes
def time(
    *,
    nonce: str | None,
    gateway: IdText | None,
    key_path: Path,
    out: Path,
    as_json: bool,
    settings: BrokerSettings | None,
    utility: IdText | None,
) -> None:
    """Sign what time it is now, by this machine's clock.

    The gateway that gave the nonce takes it for its clock, within 15 minutes of giving it; no other
    does. With --ask-broker the nonce comes from the gateway's own status.

    \b
    Examples:
      feeder-gateway utility time --nonce 2f0c9a@81000 --key keys/time-1.json --out time.jws
      feeder-gateway utility time --ask-broker localhost --utility demo --gateway rewa-7 \\
          --key keys/time-1.json --out time.jws
    """
    echoed = nonce_from(nonce, gateway, settings, utility)
    if echoed is None:
        raise click.UsageError("Missing option '--nonce'; or give --ask-broker and --utility.")
    draft = Time(nonce=echoed, now=wall_ms())
    try:
        document = msgspec.convert(msgspec.to_builtins(draft), Time)
    except msgspec.ValidationError as error:
        raise mistake_in("the time", place_and_mend(error), "correct the option") from error
    signer = SigningKey.load(key_path)
    raw = signer.sign(DocumentType.TIME, payload_of(document))
    put(out, raw, document, (signer,), as_json)
