"""Errands: what orders ask of the gateway itself, beyond any meter's supply.

Owns when settings that were changed from afar are tried, kept and taken back, and when a look
around a bus begins and ends. Must never close or open anything, nor apply a setting: the rooms do,
by what they see in the image.
"""

from collections.abc import Callable, Iterator
from typing import assert_never

from gateway.core.fact import Road, ScanReport
from gateway.core.forgetting import check_forgettable
from gateway.core.image import MINUTE_MS, Image, with_kept
from gateway.core.kept import ConfigTrial
from gateway.core.model import Instant, Now, Value
from gateway.core.orders import Config, Confirm, ForgetMeter, LogBundle, Scan, Wipe
from gateway.core.progress import OrderState, Pending
from gateway.core.records import OrderAccepted, OrderEnded
from gateway.core.settings import (
    CONFIRM_WITHIN_MS,
    Altered,
    ConfigTried,
    Overlay,
    altered,
    changed,
)
from gateway.core.soundness import Unsound


class SettingsStatus(Value):
    """What is not as the installer wrote it, and by which order.

    `trial_ms`: until it is taken back unless it is confirmed; None: it is confirmed.
    """

    order: str
    altered: tuple[Altered, ...]
    trial_ms: int | None


SCAN_MAX_MS = 60 * MINUTE_MS
"""A look around a bus in its idle time is given up after this."""
SCAN_PATIENCE_MS = MINUTE_MS
"""The bus room ends it by itself; where it does not, it is ended here so much later."""
NOT_IN_TIME = "NOT_IN_TIME"
RESTARTED = "RESTARTED"
UNCONFIRMED = "UNCONFIRMED"
TAKEN_BACK = frozenset({RESTARTED, UNCONFIRMED})


def judge_errand(
    act: Config | Confirm | LogBundle | Scan | ForgetMeter | Wipe,
    accepted: OrderAccepted,
    link: str,
    image: Image,
) -> Iterator[ConfigTried]:
    """The records beside the order's own; `link`: as `fact.DocumentClaim`. Raises `Unsound`."""
    match act:
        case Config():
            yield _config(act, accepted, image)
        case Confirm():
            _check_confirm(act, accepted.road, link, image)
        case Scan():
            _check_scan(act, image)
        case ForgetMeter():
            for serial in act.meters:
                check_forgettable(serial, image)
        case LogBundle() | Wipe():
            pass
        case _:
            assert_never(act)


def _config(act: Config, accepted: OrderAccepted, image: Image) -> ConfigTried:
    if accepted.road is not Road.MQTT:
        raise Unsound("ROAD_NOT_ALLOWED", "it is confirmed over the link, so it comes over it")
    if image.kept.trial is not None:
        pending = image.kept.trial.overlay.order
        raise Unsound("CONFIG_UNDER_WAY", f"order {pending} is not confirmed yet; confirm it first")
    if act.broker is not None and image.installed.broker is None:
        raise Unsound("BAD_SETTING", "args.broker: none is configured here; leave it out")
    before = image.installed if act.reset else image.settings
    after = changed(before, act.change)
    if after == image.settings:
        raise Unsound("NOTHING_CHANGES", "all of it is so already")
    return ConfigTried(overlay=Overlay(order=accepted.id, settings=after, over=image.installed))


def _check_confirm(act: Confirm, road: Road, link: str, image: Image) -> None:
    trial = image.kept.trial
    if trial is None or trial.overlay.order != act.order:
        raise Unsound("NOTHING_TO_CONFIRM", f"nothing of order {act.order} is on trial")
    if road is not Road.MQTT or link != act.order:
        raise Unsound("OLD_LINK", "it did not come over a link of the new settings; send another")


def _check_scan(act: Scan, image: Image) -> None:
    if act.bus not in image.station.buses:
        known = ", ".join(image.station.buses)
        raise Unsound("UNKNOWN_BUS", f"there is no bus {act.bus} here; give one of {known}")
    order = scan_of(act.bus, image)
    if order is not None:
        raise Unsound("SCAN_UNDER_WAY", f"order {order} has bus {act.bus} looked around")


def scan_of(bus: str, image: Image) -> str | None:
    """The order that has a bus looked around now; None: there is none."""
    for order, known in image.kept.orders.items():
        act = None if known.pending is None else known.pending.act
        if isinstance(act, Scan) and act.bus == bus:
            return order
    return None


def scan_until(bus: str, image: Image) -> tuple[str, int] | None:
    """The order that has a bus looked around now, and until when (boot clock); None: there is none.

    One of an earlier boot is ended before anybody is shown it.
    """
    order = scan_of(bus, image)
    pending = None if order is None else image.kept.orders[order].pending
    if order is None or pending is None:
        return None
    return order, pending.accepted.mono_ms + SCAN_MAX_MS


def scan_due(
    order: str, pending: Pending, now: Now, look_again: Callable[[int], None]
) -> OrderEnded | None:
    """The end of a look around a bus that nobody else will end; None: its time is not over."""
    if pending.accepted.boot != now.boot:
        return _timed_out(order, RESTARTED, "the machine restarted meanwhile")
    over_ms = pending.accepted.mono_ms + SCAN_MAX_MS + SCAN_PATIENCE_MS
    if now.mono_ms >= over_ms:
        return _timed_out(order, NOT_IN_TIME, "the bus room never ended it")
    look_again(over_ms)
    return None


def unconfirmed(image: Image, now: Now, look_again: Callable[[int], None]) -> Iterator[OrderEnded]:
    """What is taken back by itself: after its time, and at the first look after a restart."""
    trial = image.kept.trial
    if trial is None:
        return
    order, since = trial.overlay.order, trial.since
    if _restarted(since, image, now):
        yield _timed_out(order, RESTARTED, "the gateway restarted before it was confirmed")
    elif now.mono_ms - since.mono_ms >= CONFIRM_WITHIN_MS:
        yield _timed_out(order, UNCONFIRMED, "nobody confirmed it within 120 s")
    else:
        look_again(since.mono_ms + CONFIRM_WITHIN_MS)


def settings_status(image: Image, now: Now) -> SettingsStatus | None:
    """What was changed from afar and counts; None: all is as the installer wrote it."""
    overlay, trial = image.overlay, image.kept.trial
    differing = tuple(altered(image.settings, image.installed))
    if overlay is None or (trial is None and not differing):
        return None
    left_ms = None
    if trial is not None:
        left_ms = max(0, CONFIRM_WITHIN_MS - (now.mono_ms - trial.since.mono_ms))
    return SettingsStatus(order=overlay.order, altered=differing, trial_ms=left_ms)


def admit_scan(report: ScanReport, image: Image) -> OrderEnded | None:
    """The record of how a look around a bus ended; None where it has ended before."""
    known = image.kept.orders.get(report.order)
    if known is None or known.pending is None or not isinstance(known.pending.act, Scan):
        return None
    return OrderEnded(
        order=report.order,
        state=OrderState.TIMED_OUT if report.reason else OrderState.SUCCEEDED,
        reason=report.reason,
        detail=report.detail,
        result=report.result,
    )


def config_tried(image: Image, body: ConfigTried, at: Instant) -> Image:
    """Other settings count from now on."""
    return with_kept(image, trial=ConfigTrial(overlay=body.overlay, since=at))


def config_confirmed(image: Image) -> Image:
    """They count for good."""
    trial = image.kept.trial
    assert trial is not None, "a confirmation names what is on trial"
    return with_kept(image, trial=None, overlay=trial.overlay)


def config_cancelled(image: Image, order: str) -> Image:
    """An order is called off: where it is on trial, what counted before counts again."""
    trial = image.kept.trial
    if trial is None or trial.overlay.order != order:
        return image
    return with_kept(image, trial=None)


def order_ended(image: Image, body: OrderEnded) -> Image:
    """An order has ended: where what it changed is taken back, what counted before counts again."""
    return config_cancelled(image, body.order) if body.reason in TAKEN_BACK else image


def _restarted(since: Instant, image: Image, now: Now) -> bool:
    """Whether it began before this process did: what made that end is not known."""
    return since.boot != now.boot or since.mono_ms < image.watching_since_ms


def _timed_out(order: str, reason: str, detail: str) -> OrderEnded:
    return OrderEnded(order=order, state=OrderState.TIMED_OUT, reason=reason, detail=detail)
