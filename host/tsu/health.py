# SPDX-License-Identifier: Apache-2.0
"""What the health tests of a TSU's noise say, in words."""

from collections.abc import Sequence

from hw.spec.config import TsuConfig
from hw.spec.registers import ALARM_TEXT, REGISTER_LANES, Alarm

from .base import NoiseAlarm


def noise_alarm(health: int, lanes: Sequence[int], config: TsuConfig) -> NoiseAlarm:
    """The error for the alarms of a TSU.

    Parameters
    ----------
    health : int
        Register HEALTH with at least one alarm; its other bits are ignored.
    lanes : sequence of int
        The registers of `hw.spec.registers.LANE_REGISTERS`, by the number of the alarm: bit l is lane l of the array.
    config : TsuConfig
    """
    raised = [alarm for alarm in Alarm if health >> alarm & 1]
    parts = [f"{_lanes(lanes[alarm], config)}: {ALARM_TEXT[alarm]}" for alarm in raised]
    return NoiseAlarm("noise alarm: " + "; ".join(parts), alarms=tuple(raised))


def _lanes(mask: int, config: TsuConfig) -> str:
    """Lanes of a mask in words, of several groups as group.lane; those that have no bit in it are named together."""
    found = [lane for lane in range(REGISTER_LANES) if mask >> lane & 1]
    names = [str(lane) if config.groups == 1 else _place(lane, config) for lane in found]
    if not names and config.all_lanes > REGISTER_LANES:
        names = [f"{REGISTER_LANES if config.groups == 1 else _place(REGISTER_LANES, config)} or above"]
    return ("lane " if len(names) == 1 else "lanes ") + ", ".join(names)


def _place(lane: int, config: TsuConfig) -> str:
    """Group and lane of a lane of the array."""
    return f"{lane // config.lanes}.{lane % config.lanes}"
