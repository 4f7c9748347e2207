"""A restore that is killed while it puts a backup in place."""

import sys
from pathlib import Path

from gateway.journal.backup import Places, unpacked
from gateway.journal.putting_back import put_back

path, target = (Path(argument) for argument in sys.argv[1:])
with unpacked(target, path.parent) as (_, place):
    put_back(
        place,
        Places(
            journal=path,
            archive=path.with_name("archive"),
            marks=path.with_name("marks"),
            key=path.with_name("device.pem"),
        ),
    )
