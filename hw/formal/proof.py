# SPDX-License-Identifier: Apache-2.0
"""What a proof is, and the list of all of them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from .bench import Bench
from .bugs import PROPERTIES, Bug

MODULES = (
    "beat_merger",
    "collector",
    "command_dispatcher",
    "core",
    "credit_fifo",
    "frame_receiver",
    "health_monitor",
    "lane",
    "loader",
    "owed_counter",
    "pbit_tree",
    "pbit",
    "psi_checker",
    "scheduler",
    "serial_divider",
    "skid_buffer",
    "state_register",
    "stream_slice",
    "threshold_builder",
)
"""Files of hw.formal.properties, one for each component."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One bench and how it is proved.

    Parameters
    ----------
    name : str
        "component/variant".
    claims : str
        What is proved, in words.
    configuration : str
        Widths and parameters, in words.
    fill : function of Bench
    depth : int
        k of the induction, or the number of cycles from reset where the proof is bounded.
    cover_depth : int
        Cycles from reset within which every cover statement is reached.
    bugs : tuple of Bug
        Each must be found.
    cover_narrowed : bool
        The bench of the covers may narrow the inputs.
    bounded : bool
        A bounded check from reset only, not an induction.
    beside_latency : bool
        The component's latency is added to all depths.
    map_memories : bool
        Memories become registers (for small ones), else arrays.
    quick : bool
        Belongs to the few that the unit tests run.
    """

    name: str
    claims: str
    configuration: str
    fill: Callable[[Bench], None]
    depth: int
    cover_depth: int
    bugs: tuple[Bug, ...]
    cover_narrowed: bool = False
    bounded: bool = False
    beside_latency: bool = False
    map_memories: bool = True
    quick: bool = False

    @property
    def component(self) -> str:
        """The file of the component."""
        return self.name.partition("/")[0]

    @property
    def method(self) -> str:
        """How it is proved."""
        return "bounded" if self.bounded else "k-induction"


def all_proofs() -> dict[str, Proof]:
    """Every proof by name; the property files are imported now."""
    proofs: dict[str, Proof] = {}
    for module in MODULES:
        for proof in importlib.import_module(f"{PROPERTIES}.{module}").PROOFS:
            proofs[proof.name] = proof
    return proofs
