# SPDX-License-Identifier: Apache-2.0
"""The folder of SmolLM2 for the slow tests; a test is skipped where its package is not installed."""

from pathlib import Path

import pytest

from host.models import smollm2
from host.models.errors import ModelError


def smollm2_or_skip() -> Path:
    """The folder, or a skipped test that says why."""
    try:
        return smollm2.smollm2_folder()
    except ModelError as error:
        pytest.skip(str(error))
