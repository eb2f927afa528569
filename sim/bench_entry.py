# SPDX-License-Identifier: Apache-2.0
"""The test module that cocotb imports inside the simulator: it stands for the bench file named in the environment.

Bench files lie outside every package, so that no import path leads to them.
"""

import os
import sys
from pathlib import Path

from .bench_file import ENV_FILE, load_module

sys.modules[__name__] = load_module(Path(os.environ[ENV_FILE]))
