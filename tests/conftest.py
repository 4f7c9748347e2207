"""What holds for every test: how properties are tried, and that nothing is skipped unseen."""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# Nothing is judged by time: a slow machine is no failure. The blob repeats a failure elsewhere.
settings.register_profile(
    "house",
    max_examples=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test has failed: what is missing must be brought, not passed over."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true lets nothing be skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true lets nothing be skipped: {report.longrepr}"
    return report
