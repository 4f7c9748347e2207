"""The last lines of the log, in memory: what support asks for first.

Owns how many there are and how long each may be. Must never write anywhere, nor be asked for more
than was logged.
"""

import logging
from collections import deque

LINES_MAX = 2_000
LINE_MAX = 500
"""Characters of a line; a traceback is one line for each of its own."""


class LogLines(logging.Handler):
    """Keeps the newest lines; memory stays as it is however much is logged."""

    def __init__(self, lines_max: int = LINES_MAX) -> None:
        """Hang it on a logger, and take it away again."""
        super().__init__()
        self._lines: deque[str] = deque(maxlen=lines_max)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        try:
            said = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)
            return
        self._lines.extend(line[:LINE_MAX] for line in said.splitlines())

    def lines(self) -> tuple[str, ...]:
        """Oldest first."""
        return tuple(self._lines)
