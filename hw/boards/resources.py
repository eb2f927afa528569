# SPDX-License-Identifier: Apache-2.0
"""Pins of a board as amaranth-boards declares them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.build import Pins, Subsignal

from hw.spec.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class BoardPin:
    """One pin of the package.

    Parameters
    ----------
    pin : str
        Its name on the package.
    inverted : bool
        It is low while what it stands for is there.
    attributes : dict of str to str
        Electrical attributes, for the constraint file.
    """

    pin: str
    inverted: bool
    attributes: Mapping[str, str]


def find_pin(platform: Any, path: str) -> BoardPin:
    """The pin of a resource of one pin: "button" or "led_r:1" (number 1), or "uart.rx" (a part of one).

    Raises
    ------
    SpecError
        The platform declares no such pin.
    """
    name, _, part = path.partition(".")
    name, _, number = name.partition(":")
    resource = platform.resources.get((name, int(number or 0)))
    chain = [resource] if resource is not None else []
    if chain and part:
        chain += [item for item in resource.ios if isinstance(item, Subsignal) and item.name == part]
    pins = [item for item in chain[-1].ios if isinstance(item, Pins)] if len(chain) == 1 + bool(part) else []
    if len(pins) != 1 or len(pins[0].names) != 1:
        raise SpecError("pin", path, f"a resource of one pin of {type(platform).__name__}")
    attributes = {key: str(value) for owner in chain for key, value in (owner.attrs or {}).items()}
    return BoardPin(pin=pins[0].names[0], inverted=pins[0].invert, attributes=attributes)
