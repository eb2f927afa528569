# SPDX-License-Identifier: Apache-2.0
"""The whole suite: programs that tests start can be interrupted, also where the suite runs in the background."""

import signal


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and what they start inherits that; a handler ends it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
