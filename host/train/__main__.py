# SPDX-License-Identifier: Apache-2.0
"""Command line of training: python -m host.train --help."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
