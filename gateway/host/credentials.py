"""Where a file of the configuration is: at a path, or handed over by systemd as a credential.

Owns the form `credential:NAME` (systemd.exec(5), LoadCredential=). Must never read one: whoever
needs it does, when it is needed.
"""

import os
import re
import stat
from pathlib import Path

PREFIX = "credential:"
NAME = re.compile(r"(?!\.)[A-Za-z0-9_.@-]{1,128}")
"""Names that are a file's on every system, and nothing else."""
DIRECTORY = "CREDENTIALS_DIRECTORY"


def located(written: str, folder: Path) -> Path:
    """Where a file is that the configuration in `folder` names.

    A credential that cannot be one, or that systemd has no place for here, stays as it is written.
    """
    name, directory = written.removeprefix(PREFIX), os.environ.get(DIRECTORY)
    if name == written:
        return folder / written
    found = NAME.fullmatch(name) and directory
    return Path(directory or "") / name if found else Path(written)


def credential_mistake(path: Path) -> str | None:
    """Why a located file is a credential that there is not, with the mend; None: it is no such."""
    directory = os.environ.get(DIRECTORY)
    written = str(path)
    if written.startswith(PREFIX):
        name = written.removeprefix(PREFIX)
    elif directory and path.parent == Path(directory) and not path.exists():
        name = path.name
    else:
        return None
    if not NAME.fullmatch(name):
        return f"{written}: no credential is named so. Give letters, digits, _, -, @ and dots."
    return (
        f"{written}: systemd has handed over no such credential. Add LoadCredential={name}:FILE to "
        "the service; outside of it, say check by systemd-run -P with the same property."
    )


def exposure(path: Path) -> str | None:
    """Who may use a secret's file who should not, with the mend; None: nobody, or there is none.

    A group may: that is how a machine's own keys are shared with its services.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if mode & stat.S_IRWXO:
        return f"{path}: everybody on this machine may use it. Say chmod o= {path}."
    return None
