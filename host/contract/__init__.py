# SPDX-License-Identifier: Apache-2.0
"""What every TSU owes its users, as checks that any adapter can be held against: docs/how-to/adapter.md."""

from .errors import ContractError
from .suite import CHECKS, Result, check_contract, run_checks

__all__ = ["CHECKS", "ContractError", "Result", "check_contract", "run_checks"]
