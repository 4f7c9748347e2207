"""Feeder gateway: closes the load switch of a paid meter while the central server is down."""

__version__ = "0.1.0.dev0"

BUILD_TIME_MS = 1_793_491_200_000
"""Milliseconds UTC since 1970 of this release: no true time can lie before it."""
