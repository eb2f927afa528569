# SPDX-License-Identifier: Apache-2.0
"""One way to say that a value is outside its legal range."""


class SpecError(ValueError):
    """A field of a configuration, a psi or a command is outside its legal range.

    The message is one line that names the field, the value and the legal range.

    Parameters
    ----------
    field : str
        Name of the offending field.
    value : object
        What was given.
    legal : str
        The legal range, in words.
    """

    def __init__(self, field: str, value: object, legal: str) -> None:
        super().__init__(f"{field} = {value!r} is not legal: expected {legal}")
        self.field = field
        self.value = value
        self.legal = legal


def check_int(field: str, value: object, low: int, high: int) -> int:
    """Return `value` as an int, or raise `SpecError` unless low <= value <= high."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise SpecError(field, value, f"an integer in [{low}, {high}]")
    number = int(value.__index__())
    if not low <= number <= high:
        raise SpecError(field, number, f"an integer in [{low}, {high}]")
    return number


def check_power_of_two(field: str, value: object, low: int, high: int) -> int:
    """Return `value` as an int, or raise `SpecError` unless it is a power of two in [low, high]."""
    number = check_int(field, value, low, high)
    if number & (number - 1):
        raise SpecError(field, number, f"a power of two in [{low}, {high}]")
    return number
