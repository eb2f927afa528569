# SPDX-License-Identifier: Apache-2.0
"""What a check says: the contract is broken, or this TSU does not promise what the check is about."""


class ContractError(Exception):
    """A TSU broke its contract. The message is one line: the check, and what is wrong, in words and numbers.

    Parameters
    ----------
    check : str
        Name of the check that failed.
    message : str
        What is wrong.
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(f"{check}: {message}")
        self.check = check
        self.message = message


class Violation(Exception):  # noqa: N818  # what a check found; `ContractError` is the error that users see
    """Raised inside a check; the runner makes a `ContractError` of it that bears the name of the check."""


class NotApplicable(Exception):  # noqa: N818  # no error: the check has nothing to ask of this TSU
    """The TSU does not promise what the check is about, or cannot be asked; the message says why."""
