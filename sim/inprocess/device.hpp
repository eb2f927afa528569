// SPDX-License-Identifier: Apache-2.0
// sim/native/tsd_abi.h over a simulated TSU: offers command words, takes statuses and draws.
// Every wait is bounded by the caller's cycle count.
//
// The shim of a simulator includes this behind tsd_ports.h. It defines before:
//
//   TsdTop     the simulated top (sim/inprocess/flat_tsu.py), with all inputs low, settled
//   Simulator  holds one as its member `top` and has
//     void settle()               outputs follow the inputs; no edge
//     void tick(loader, monitor)  a rising edge of clk, and of load_clk and monitor_clk where they are true; settled
//                                 outputs before, if inputs have not changed, and behind it
//     void cycle(loader, monitor, look)
//                                 settles, calls look(), which reads outputs, then the edge; outputs are stale behind it.
//                                 Without loader no input has changed since the cycle before, but for draw_enable
#pragma once

#include "tsd_abi.h"
#include "tsd_config.h"

#include <memory>
#include <new>

#if TSD_GROUPS > 1
#include "owed_draws.hpp"
#endif

// The health monitors watch 128 of 4096 cycles: two dwells in a row.
static const uint64_t kUnwatched = 4096 - 128;

struct tsd_device {
    Simulator simulator;
    uint64_t cycles = 0;
    const char *message = "no error";
    // Draws of a beat that the caller has not asked for yet.
    uint32_t kept_tokens[TSD_BEAT_LANES];
    uint64_t kept_weights[TSD_BEAT_LANES];
    uint32_t kept_spreads[TSD_BEAT_LANES];
    unsigned kept_first = 0, kept_end = 0;
#if TSD_GROUPS > 1
    OwedDraws owed;
    uint32_t tag = 0;  // of the last command: its own, whatever the caller's says
#endif
#if TSD_CONTEXTS
    uint64_t draws_owed = 0;                        // asked for and not taken
    uint32_t block_streams = 0, block_length = 0;  // of the BLOCK whose tokens have not been taken
#endif

    bool watched() const { return !(cycles & kUnwatched); }

    // One clock cycle, see Simulator.
    void tick(bool with_loader) {
        simulator.tick(with_loader, with_loader || watched());
        ++cycles;
    }

    template <class Look> void cycle(bool with_loader, Look look) {
        simulator.cycle(with_loader, with_loader || watched(), look);
        ++cycles;
    }

    // Up to n draws of the beat kept; returns how many.
    uint64_t take_kept(uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads) {
        uint64_t taken = 0;
        for (; taken < n && kept_first < kept_end; ++taken, ++kept_first) {
            tokens[taken] = kept_tokens[kept_first];
            weights[taken] = kept_weights[kept_first];
            spreads[taken] = kept_spreads[kept_first];
        }
        return taken;
    }
};

static uint32_t read_register(tsd_device *device, unsigned address) {
    set_register_address(device->simulator.top, address);
    device->tick(true);
    return get_register_data(device->simulator.top);
}

extern "C" tsd_device *tsd_open(void) { return new (std::nothrow) tsd_device; }

extern "C" void tsd_close(tsd_device *device) { delete device; }

extern "C" uint64_t tsd_spec_id(tsd_device *device) {
    const uint64_t low = read_register(device, TSD_REGISTER_SPEC_ID_LOW);
    return low | static_cast<uint64_t>(read_register(device, TSD_REGISTER_SPEC_ID_HIGH)) << 32;
}

extern "C" uint32_t tsd_health(tsd_device *device, uint32_t *lanes) {
    if (!get_alarm(device->simulator.top)) return 0;
    for (unsigned alarm = 0; alarm < TSD_ALARMS; ++alarm) lanes[alarm] = read_register(device, tsd_lane_registers[alarm]);
    return read_register(device, TSD_REGISTER_HEALTH) & ((1u << TSD_ALARMS) - 1);
}

extern "C" uint64_t tsd_cycles(tsd_device *device) { return device->cycles; }

extern "C" const char *tsd_message(tsd_device *device) { return device->message; }

// Word `index` of a command as it is sent.
static uint32_t sent_word(const tsd_device *device, const uint32_t *words, uint32_t index) {
#if TSD_GROUPS > 1
    if (index == 0) return (words[0] & ((UINT32_C(1) << TSD_COMMON_TAG_LOW) - 1)) | device->tag << TSD_COMMON_TAG_LOW;
#else
    (void)device;
#endif
    return words[index];
}

// Whether a command must wait for draws to be taken, by the rules of tsd_blocks.
static bool waits_for_taker(tsd_device *device, const uint32_t *words) {
#if TSD_CONTEXTS
    if (device->block_streams) {
        device->message = "the tokens of a BLOCK have to be taken first";
        return true;
    }
    const uint32_t opcode = words[0] & ((UINT32_C(1) << TSD_COMMON_OPCODE_WIDTH) - 1);
    if (opcode == TSD_OPCODE_BLOCK && device->draws_owed) {
        device->message = "a BLOCK needs an idle TSU: take the draws asked for first";
        return true;
    }
#else
    (void)device, (void)words;
#endif
    return false;
}

// Note the draws that a good command brings.
static void expect_draws(tsd_device *device, const uint32_t *words, uint32_t n, uint32_t status) {
#if TSD_CONTEXTS
    const uint32_t opcode = words[0] & ((UINT32_C(1) << TSD_COMMON_OPCODE_WIDTH) - 1);
    if (status != TSD_STATUS_OK) return;
    if (opcode == TSD_OPCODE_LOAD || opcode == TSD_OPCODE_DRAW) device->draws_owed += words[TSD_COMMON_COUNT_WORD];
    if (opcode != TSD_OPCODE_BLOCK) return;
    device->block_length = words[TSD_COMMON_COUNT_WORD] & ((UINT32_C(1) << TSD_BLOCK_LENGTH_BITS) - 1);
    device->block_streams = device->block_length ? n - TSD_BLOCK_HEADER_WORDS : 0;
#elif TSD_GROUPS > 1
    (void)n;
    const uint32_t opcode = words[0] & ((UINT32_C(1) << TSD_COMMON_OPCODE_WIDTH) - 1);
    if (status == TSD_STATUS_OK && (opcode == TSD_OPCODE_LOAD || opcode == TSD_OPCODE_DRAW))
        device->owed.ask(device->tag, words[TSD_COMMON_COUNT_WORD]);
#else
    (void)device, (void)words, (void)n, (void)status;
#endif
}

extern "C" int tsd_command(tsd_device *device, const uint32_t *words, uint32_t n, uint64_t max_cycles, uint32_t *status,
                           uint64_t *total) {
    TsdTop &top = device->simulator.top;
    const uint64_t end = device->cycles + max_cycles;
    uint32_t sent = 0;
    bool answered = false;
    if (n == 0) {
        device->message = "a command has at least one word";
        return -1;
    }
    if (waits_for_taker(device, words)) return -1;
#if TSD_GROUPS > 1
    device->tag = (device->tag + 1) & ((UINT32_C(1) << TSD_COMMON_TAG_WIDTH) - 1);
#endif
    while (!answered && device->cycles < end) {
        const bool more = sent < n;
        set_command_valid(top, more);
        set_command_data(top, more ? sent_word(device, words, sent) : 0);
        set_command_last(top, sent + 1 == n);
        device->cycle(true, [&] {
            sent += more && get_command_ready(top);
            answered = get_status_valid(top);
            *status = get_status_code(top);
            *total = get_status_total(top);
        });
    }
    set_command_valid(top, 0);
    set_command_last(top, 0);
    device->simulator.settle();
    if (answered) expect_draws(device, words, n, *status);
    device->message =
        answered ? "no error" : "no answer to a command: its bank or its noise is still needed by draws that were not taken";
    return answered ? 0 : -1;
}

#if TSD_GROUPS > 1

extern "C" uint64_t tsd_draws(tsd_device *device, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads,
                              uint64_t max_cycles) {
    TsdTop &top = device->simulator.top;
    OwedDraws &owed = device->owed;
    const uint64_t end = device->cycles + max_cycles;
    const char *message = "fewer draws than asked for within the cycle bound";
    uint64_t taken = owed.take(n, tokens, weights, spreads);
    bool enabled = taken < n && !owed.none();
    if (enabled) {
        set_draw_enable(top, 1);
        device->tick(false);
    }
    while (enabled) {
        bool known = true;
        if (get_draw_valid(top) && owed.passes(get_draw_tag(top)) && taken + TSD_BEAT_LANES <= n) {
            const unsigned count = copy_beat(top, tokens + taken, weights + taken, spreads + taken);
            taken += count;
            owed.passed(count);
        } else if (get_draw_valid(top)) {
            const unsigned count = copy_beat(top, device->kept_tokens, device->kept_weights, device->kept_spreads);
            Draw draws[TSD_BEAT_LANES];
            for (unsigned i = 0; i < count; ++i)
                draws[i] = {device->kept_tokens[i], device->kept_weights[i], device->kept_spreads[i]};
            known = owed.keep(get_draw_tag(top), draws, count);
        }
        if (!known) message = "the TSU delivered draws that no command asked for";
        taken += owed.take(n - taken, tokens + taken, weights + taken, spreads + taken);
        enabled = taken < n && !owed.none() && known && device->cycles < end;
        set_draw_enable(top, enabled);
        device->tick(!enabled);  // the last one with the registers, which hold the alarm
    }
    if (taken < n && owed.none()) message = "fewer draws were asked for by LOAD and DRAW than are to be taken";
    device->message = taken < n ? message : "no error";
    return taken;
}

#else

extern "C" uint64_t tsd_draws(tsd_device *device, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads,
                              uint64_t max_cycles) {
    TsdTop &top = device->simulator.top;
    const uint64_t end = device->cycles + max_cycles;
    uint64_t taken = device->take_kept(n, tokens, weights, spreads);
    bool enabled = taken < n;
    if (enabled) {
        set_draw_enable(top, 1);
        device->tick(false);
    }
    if (taken + 2 * TSD_BEAT_LANES <= n) {
        while (taken + 2 * TSD_BEAT_LANES <= n && device->cycles < end)
            device->cycle(false, [&] {
                if (get_draw_valid(top)) taken += copy_beat(top, tokens + taken, weights + taken, spreads + taken);
            });
        device->simulator.settle();
    }
    while (enabled) {
        if (get_draw_valid(top)) {
            device->kept_end = copy_beat(top, device->kept_tokens, device->kept_weights, device->kept_spreads);
            device->kept_first = 0;
            taken += device->take_kept(n - taken, tokens + taken, weights + taken, spreads + taken);
        }
        enabled = taken < n && device->cycles < end;
        set_draw_enable(top, enabled);
        device->tick(!enabled);  // the last one with the registers, which hold the alarm
    }
#if TSD_CONTEXTS
    device->draws_owed -= taken < device->draws_owed ? taken : device->draws_owed;
#endif
    device->message = taken < n ? "fewer draws than asked for within the cycle bound" : "no error";
    return taken;
}

#endif

#if TSD_CONTEXTS

extern "C" uint32_t tsd_blocks(tsd_device *device, uint32_t streams, uint32_t length, uint32_t *tokens, uint64_t *weights,
                               uint32_t *spreads, uint32_t *lengths, uint64_t max_cycles) {
    TsdTop &top = device->simulator.top;
    const uint64_t end = device->cycles + max_cycles;
    if (streams != device->block_streams || length != device->block_length) {
        device->message = "there is no BLOCK of so many streams and tokens to take";
        return 0;
    }
    uint32_t ended = 0;
    bool known = true;
    for (uint32_t i = 0; i < streams; ++i) lengths[i] = 0;
    set_draw_enable(top, 1);
    device->tick(false);
    while (ended < streams && known && device->cycles < end)
        device->cycle(false, [&] {
            if (!get_draw_valid(top)) return;
            BlockDraw draws[TSD_BEAT_LANES];
            const unsigned n = copy_block(top, draws);
            for (unsigned i = 0; i < n; ++i) {
                const BlockDraw &draw = draws[i];
                known = known && draw.stream < streams && lengths[draw.stream] < length;
                if (!known) return;
                const size_t at = size_t(draw.stream) * length + lengths[draw.stream]++;
                tokens[at] = draw.token;
                weights[at] = draw.weight;
                spreads[at] = draw.spread;
                ended += draw.ends;
            }
        });
    set_draw_enable(top, 0);
    device->tick(true);  // with the registers, which hold the alarm
    device->message = !known ? "the TSU delivered draws that no stream asked for" : "no error";
    if (ended < streams && known) device->message = "fewer tokens than asked for within the cycle bound";
    device->block_streams = 0;
    return ended;
}

#endif
