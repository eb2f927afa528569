# SPDX-License-Identifier: Apache-2.0
"""Parameters of a candidate's psi: of the job, or of the slot that its stream draws from."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import data_register, members, of_block, params_signature, slot_write_signature
from .memories import exclusive_memory


def candidate_members(config: TsuConfig) -> dict[str, int]:
    """What a candidate is before it is decided, by name and width."""
    return {
        "valid": 1,
        "last": 1,
        "bank": config.bank_bits,
        "uniform": config.uniform_bits,
        "tail_word": config.tail_noise_bits,
    }


class SlotParams(wiring.Component):
    """A memory of the parameters of every slot, and the choice between them and those of the job.

    Parameters
    ----------
    config : TsuConfig
        With contexts.
    load_domain : str
        Clock domain of `i_write`; see `TsuCore`.

    Members
    -------
    i_write : In(slot_write)     never of a slot that candidates are drawn from
    slot : In(context_bits)      of the candidate that `i` brings in the next cycle, if it belongs to a block
    own : In(params)             of the job
    i : In(valid, last, bank, uniform, tail_word)
    o, o_params : Out            the same candidate, and its parameters
    busy : Out(1)                a candidate is inside
    Latency      `latency_cycles` from slot to o_params: 1, or 3 if pipelined (a block RAM, its register, the choice)
    Throughput   one candidate per cycle
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        self.latency_cycles = 3 if config.pipelined else 1
        candidate = candidate_members(config)
        super().__init__(
            {
                "i_write": In(slot_write_signature(config)),
                "slot": In(config.context_bits),
                "own": In(params_signature(config)),
                "i": In(wiring.Signature({name: Out(width) for name, width in candidate.items()})),
                "o": Out(wiring.Signature({name: Out(width) for name, width in candidate.items()})),
                "o_params": Out(params_signature(config)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, stages = self._config, self.latency_cycles - 1
        candidate, banks, inside = dict(members(self.i)), [self.i.bank], self.i.valid
        for stage in range(stages):
            valid = Signal(name=f"valid_{stage}")
            m.d.sync += valid.eq(candidate.pop("valid"))
            candidate = {name: data_register(m, value, name=f"{name}_{stage}") for name, value in candidate.items()}
            candidate["valid"] = valid
            banks.append(candidate["bank"])
            inside = inside | valid
        m.d.comb += self.busy.eq(inside)
        m.d.comb += [getattr(self.o, name).eq(value) for name, value in candidate.items()]
        for name, own in members(self.own):
            given = getattr(self.i_write, name)
            memory: Memory = exclusive_memory(shape=given.shape(), depth=config.contexts)
            m.submodules[name] = memory
            write, read = memory.write_port(domain=self._load_domain), memory.read_port()
            m.d.comb += [
                write.en.eq(self.i_write.stb),
                write.addr.eq(self.i_write.slot),
                write.data.eq(given),
                read.addr.eq(self.slot),
            ]
            found = read.data
            if stages:  # a block RAM's own output register
                found = data_register(m, found, name=f"found_{name}")
            chosen = Mux(of_block(config, banks[max(0, stages - 1)]), found, own)
            if stages:
                chosen = data_register(m, chosen, name=f"chosen_{name}")
            m.d.comb += getattr(self.o_params, name).eq(chosen)
        return m
