# SPDX-License-Identifier: Apache-2.0
"""Why a language model cannot be had, in one line; and what to install where its packages are missing."""

import importlib.util

from host.extras import install_hint
from host.targets.categorical import TargetError

EXTRA = "lm"
"""Key of pyproject.toml that brings the packages of language models."""


class ModelError(TargetError):
    """A language model is missing, unreadable, or of a kind that is not supported. The message is one line."""


def require_packages(user: str, *packages: str) -> None:
    """Raise `ModelError`, with what to install, where one of the packages is missing.

    Parameters
    ----------
    user : str
        What needs them, for the message.
    packages : str
        Names by which they are imported.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModelError(install_hint(user=user, package=package, extra=EXTRA))
