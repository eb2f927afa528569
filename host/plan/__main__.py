# SPDX-License-Identifier: Apache-2.0
"""Command line of planning: python -m host.plan --help."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
