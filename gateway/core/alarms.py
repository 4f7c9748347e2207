"""Alarms: what somebody should come for or decide about, by name.

Owns the words only. Must never decide when one is raised (`status` does).
"""

from enum import StrEnum


class Alarm(StrEnum):
    """What somebody should come for or decide about."""

    WIPED = "WIPED"
    """It was taken out of service by order: a newer site document puts it back."""
    NO_SITE = "NO_SITE"
    NO_LIST = "NO_LIST"
    LIST_STALE = "LIST_STALE"
    ROOT_EXPIRED = "ROOT_EXPIRED"
    """The root of trust should have been renewed; it counts all the same."""
    EQUIVOCATION = "EQUIVOCATION"
    """The utility said two things under one number: somebody else may hold one of its keys."""
    JOURNAL_LOST = "JOURNAL_LOST"
    """The journal is not the one that was: it was lost, or an old one put back."""
    JOURNAL_DEGRADED = "JOURNAL_DEGRADED"
    """The disk takes nothing: what is done is held in memory, and no document is taken."""
    BEHIND = "BEHIND"
    """Newer documents than those in force were here: they have to be sent again."""
    AMNESIA = "AMNESIA"
    """Nothing is known of what was here: a list that echoes the nonce has to be sent."""
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    """One on the way to the broker is past its end: there is no link, or none after this one."""
    CERTIFICATE_EXPIRES = "CERTIFICATE_EXPIRES"
    """One on the way to the broker ends within 30 days."""
    BUS_DOWN = "BUS_DOWN"
    METERS_SILENT = "METERS_SILENT"
    PROMISE_BROKEN = "PROMISE_BROKEN"
    CLOSE_FAILED = "CLOSE_FAILED"
    CLOSED_WITHOUT_SUPPLY = "CLOSED_WITHOUT_SUPPLY"
    """The switch reads closed and nothing comes out of it."""
    PROMISE_AT_RISK = "PROMISE_AT_RISK"
    """At this pace the last of those who wait comes back too late."""
    PACING_STOPPED = "PACING_STOPPED"
    """A transformer is not loaded any further for now."""
    GRACE_OVER = "GRACE_OVER"
    """Somebody has supply by a grace whose hours are over: the head end has to decide."""
