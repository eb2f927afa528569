# SPDX-License-Identifier: Apache-2.0
"""Turns noise words into accepted candidates."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import candidate_signature, data_register, of_block, params_signature
from .multiplier import PipelinedMultiplier
from .pbit import PBit


class CandidateFilter(wiring.Component):
    """Scaled reject, the head-or-tail p-bit, the multiply-shift of the tail index, and its comparison with the last id.

    A candidate is rejected as a whole when u >= c Z or when the tail index would be biased (low part of r_w n below
    2**tail_noise_bits mod n), whether or not it is a tail draw: rejecting only tail draws would starve the tail.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    valid, uniform, tail_word : In       one candidate
    params : In(params), bank : In       stable while candidates are inside; with contexts, those of this candidate
    o : Out(candidate)                   `valid` for accepted candidates, `retry` for rejected ones of a block
    reject_stb : Out(1)                  a candidate was rejected, one cycle ago
    last : In(1), final_stb : Out(1)     with contexts: the candidate is its stream's last; such a one was accepted,
                                         one cycle ago
    busy : Out(1)                        some candidate has not been decided and reported yet
    Latency      `latency_cycles`
    Throughput   one candidate per cycle
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self._multiplier = PipelinedMultiplier(
            a_bits=config.tail_noise_bits, b_bits=config.id_bits, stages=config.multiply_stages
        )
        self.latency_cycles = self._multiplier.latency_cycles + 1 + config.pipelined
        super().__init__(
            ({"last": In(1), "final_stb": Out(1)} if config.contexts else {})
            | {
                "valid": In(1),
                "uniform": In(config.uniform_bits),
                "tail_word": In(config.tail_noise_bits),
                "params": In(params_signature(config)),
                "bank": In(config.bank_bits),
                "o": Out(candidate_signature(config)),
                "reject_stb": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.multiplier = multiplier = self._multiplier
        m.d.comb += [multiplier.a.eq(self.tail_word), multiplier.b.eq(self.params.spread)]

        split = int(config.pipelined)
        m.submodules.reject_pbit = reject_pbit = PBit(width=config.uniform_bits, latency_cycles=split)
        m.submodules.tail_pbit = tail_pbit = PBit(width=config.uniform_bits, latency_cycles=split)
        m.d.comb += [
            reject_pbit.value.eq(self.uniform),
            reject_pbit.threshold.eq(self.params.reject_threshold),
            tail_pbit.value.eq(self.uniform),
            tail_pbit.threshold.eq(self.params.tail_threshold),
        ]
        # Uniform and verdicts on it travel beside the multiplier. With `split`, so does the verdict on the product.
        inside = self.valid
        valid, uniform, verdicts = self.valid, self.uniform, [reject_pbit.fires, tail_pbit.fires]
        for stage in range(multiplier.latency_cycles + split):
            moved = [uniform, *(verdicts if stage >= split else [])]
            following = Signal(name=f"valid_{stage}")
            m.d.sync += following.eq(valid)
            valid = following
            uniform, *moved = (data_register(m, value, name=f"stage_{stage}") for value in moved)
            verdicts = moved or verdicts
            inside = inside | valid
        over, tail = verdicts

        low, index = Signal(config.tail_noise_bits), Signal(config.id_bits)
        m.d.comb += Cat(low, index).eq(multiplier.product)
        included, past_last, bank = ~(low < self.params.tail_reject), ~(index < self.params.rank_last), self.bank
        if config.contexts:  # those of this candidate, while the ports show those of a later one
            tail_reject, rank_last = (
                self._delayed(m, getattr(self.params, name), name=name, cycles=multiplier.latency_cycles)
                for name in ("tail_reject", "rank_last")
            )
            included, past_last = ~(low < tail_reject), ~(index < rank_last)
            bank, last = (
                self._delayed(m, value, name=name, cycles=multiplier.latency_cycles + split)
                for name, value in {"bank": bank, "last": self.last}.items()
            )
        token = (index + 1)[: config.id_bits]
        if split:
            included, past_last, token = (
                data_register(m, value, name=name)
                for name, value in {"included": included, "past_last": past_last, "token": token}.items()
            )
        accept = Signal()
        m.d.comb += accept.eq(~over & included)
        m.d.sync += self.reject_stb.eq(valid & ~accept)
        m.d.comb += self.busy.eq(inside | self.reject_stb)
        route = self.o.route
        m.d.sync += [
            route.valid.eq(valid & accept),
            route.bank.eq(bank),
            route.tail.eq(tail),
            route.past_last.eq(past_last),
        ]
        if config.contexts:
            m.d.sync += [
                route.retry.eq(valid & ~accept & of_block(config, bank)),
                self.final_stb.eq(valid & accept & last & of_block(config, bank)),
            ]
        m.d.comb += self.o.value.eq(data_register(m, Mux(tail, token, uniform), name="value"))
        return m

    @staticmethod
    def _delayed(m: Module, value: Value, *, name: str, cycles: int) -> Value:
        """`value` some cycles later."""
        for stage in range(cycles):
            value = data_register(m, value, name=f"{name}_{stage}")
        return value
