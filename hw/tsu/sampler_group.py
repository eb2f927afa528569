# SPDX-License-Identifier: Apache-2.0
"""Lanes that share one psi, with what fills and drives them."""

from functools import partial

from amaranth.hdl import Cat, DomainRenamer, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import connect

from hw.spec.config import TsuConfig

from .collector import Collector
from .lane import Lane
from .layouts import registered
from .loader import Loader
from .scheduler import Scheduler


class SamplerGroup:
    """Loader, scheduler, lanes and collector: everything of a TSU but its noise and its registers.

    No component of its own: a TSU of one group holds these parts itself, a TSU of several in a submodule for each.
    Its ports are those of its parts.

    Parameters
    ----------
    config : TsuConfig
        `lanes` of it belong to this group. A SEED brings the streams of all groups.
    load_domain : str
        See `TsuCore`.

    Attributes
    ----------
    loader : Loader
        `i_command`, `o_status`, `busy`, `refused_stb`, and the head of the seed chain.
    scheduler : Scheduler
    lanes : list of Lane
        `i_words` of each takes noise.
    beat : beat_signature
        Draws of the group, in the order of its stream.
    latency_cycles : int
        From noise word to beat.
    """

    def __init__(self, *, config: TsuConfig, load_domain: str) -> None:
        self._load_domain = load_domain
        self._far = config.lanes_far
        self.loader, self.scheduler = Loader(config=config), Scheduler(config=config)
        self._contexts = config.contexts
        self.lanes = [Lane(config=config, load_domain=load_domain, number=lane) for lane in range(config.lanes)]
        self._collector = Collector(config=config)
        self.beat = self._collector.o_beat
        self.latency_cycles = self.lanes[0].latency_cycles + self._collector.latency_cycles

    def add_to(self, m: Module) -> None:
        """Put the parts into `m` and connect them with each other; `loader.bank_in_use` is left to the caller."""
        loader, scheduler, collector = self.loader, self.scheduler, self._collector
        m.submodules.loader = DomainRenamer(self._load_domain)(loader)
        m.submodules.scheduler = scheduler
        m.submodules.collector = collector
        connect(m, loader.o_job, scheduler.i_job)
        connect(m, scheduler.o_job, collector.i_job)
        tree_write, leaf_write = loader.o_tree_write, loader.o_leaf_write
        done = Cat(collector.done_stb, collector.done_bank)
        if self._far:
            late = partial(registered, m, domain=self._load_domain)
            tree_write = late(wiring.flipped(tree_write), name="late_tree_write")
            leaf_write = late(wiring.flipped(leaf_write), name="late_leaf_write")
            at_collector, done = done, Signal(2, name="late_done")
            m.d.sync += done.eq(at_collector)
        m.d.comb += [
            loader.params_in_use.eq(scheduler.params_in_use),
            scheduler.copied_stb.eq(collector.copied_stb),
            Cat(scheduler.done_stb, scheduler.done_bank).eq(done),
            scheduler.restart_stb.eq(loader.restart_stb),
            collector.restart_stb.eq(loader.restart_stb),
        ]
        connect(m, loader.params, collector.params)
        for index, lane in enumerate(self.lanes):
            m.submodules[f"lane_{index}"] = lane
            connect(m, lane.o_result, collector.i_result[index])
            connect(m, tree_write, lane.i_tree_write)
            connect(m, leaf_write, lane.i_leaf_write)
            connect(m, loader.params, lane.params)
            m.d.comb += [
                lane.start.eq(scheduler.start[index]),
                scheduler.idle[index].eq(lane.idle),
            ]
        if self._contexts:
            self._connect_blocks(m)

    def _connect_blocks(self, m: Module) -> None:
        """What only block drafting needs."""
        loader, scheduler, collector = self.loader, self.scheduler, self._collector
        slot_write, stream_write, done = loader.o_slot_write, loader.o_stream_write, collector.done_block
        if self._far:
            late = partial(registered, m, domain=self._load_domain)
            slot_write = late(wiring.flipped(slot_write), name="late_slot_write")
            stream_write = late(wiring.flipped(stream_write), name="late_stream_write")
            done = Signal(name="late_done_block")
            m.d.sync += done.eq(collector.done_block)
        m.d.comb += [scheduler.done_block.eq(done), loader.starts_in_use.eq(scheduler.starts_in_use)]
        for index, lane in enumerate(self.lanes):
            connect(m, slot_write, lane.i_slot_write)
            connect(m, stream_write, lane.i_stream_write)
            m.d.comb += [lane.loaded.eq(loader.loaded), scheduler.starts_left[index].eq(lane.starts_left)]
