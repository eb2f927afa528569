# SPDX-License-Identifier: Apache-2.0
"""The whole suite: programs that tests start can be interrupted, and numerical libraries use one thread a worker."""

import os
import signal

# Of torch and BLAS, here and in programs that tests start: two workers whose threads wait for each other took 50 times
# as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and what they start inherits that; a handler ends it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
