"""Profiles written for a test, and a device of their type."""

from pathlib import Path

from gateway.bus.device import Device
from gateway.bus.profile import Profile, load_profiles
from gateway.core.model import Serial

WHOLE = """
title = "A meter"
[timing]
timeout_ms = 100
turnaround_max_ms = 100
[identity]
function = 3
address = 0
count = 2
coding = "u32"
evidence = "manual"
source = "its manual"
[state]
function = 3
address = 9
mask = 3
opened = 0
closed = 1
ready = 2
independent = true
evidence = "manual"
source = "its manual"
[close]
writes = [{ function = 6, address = 8, values = [1] }]
settle_ms = 0
evidence = "manual"
source = "its manual"
[[forbidden]]
first = 100
last = 110
reason = "calibration"
"""
WITH_ALL = f"""{WHOLE}
[open]
writes = [{{ function = 6, address = 8, values = [2] }}]
settle_ms = 0
evidence = "manual"
source = "its manual"
[release]
writes = [{{ function = 6, address = 8, values = [3] }}]
settle_ms = 0
evidence = "manual"
source = "its manual"
[cancel]
writes = [{{ function = 6, address = 8, values = [4] }}]
evidence = "manual"
source = "its manual"
[cause]
function = 3
address = 20
mask = 0xF0
prepay = 0x10
technician = 0x20
trip = 0x30
power_up = 0x40
evidence = "manual"
source = "its manual"
[serial]
baud = 9600
format = "8E1"
evidence = "manual"
source = "its manual"
[voltage]
function = 4
address = 30
type = "u16"
side = "supply"
evidence = "manual"
source = "its manual"
[energy]
function = 4
address = 40
type = "s64"
counts = "total"
evidence = "manual"
source = "its manual"
"""


def load(directory: Path, text: str, name: str = "mine") -> Profile:
    (directory / f"{name}.toml").write_text(text, encoding="utf-8")
    return load_profiles(directory)[name]


def device(profile: Profile, *, measures_only: bool = False) -> Device:
    return Device(
        serial=Serial("S1"),
        profile=profile,
        unit=7,
        switch_unit=40,
        switch_channel=5,
        measures_only=measures_only,
    )
