"""What all tests share: the event loop, a second run where the machine stood still, and no skip in CI.

At home a test may be skipped because a service is missing; where CI is set the same skip is a
failure, or a service that stopped starting would pass unseen.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.support import again, moments
from tests.support.again import pytest_report_teststatus, pytest_runtest_protocol

__all__ = ["pytest_report_teststatus", "pytest_runtest_protocol"]

# The same examples on every run: a test that fails by chance proves nothing to the one who sees it.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=30)
# More of them, which make prove asks for.
settings.register_profile("thorough", settings.get_profile("steady"), max_examples=100)
settings.load_profile("steady")

IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio only: with trio installed the plugin would run every test on it too."""
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    again.pytest_terminal_summary(terminalreporter)
    moments.write_summary(terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the garbage collector pass by what was collected: it stays, and is most of what there is."""
    gc.collect()
    gc.freeze()


def fail_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn *report* into a failure if it is a skip; an expected failure is none."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        path, line, reason = (
            report.longrepr if isinstance(report.longrepr, tuple) else (report.nodeid, 0, report.longrepr)
        )
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: nothing may be skipped in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_skip(report)
    return report
