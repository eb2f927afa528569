// SPDX-License-Identifier: Apache-2.0
// sim/native/tsd_abi.h over the Verilated TSU: clocks the RTL, offers command words, takes statuses and draws.
// Every wait is bounded by the caller's cycle count.
//
// Compiled in one unit with the generated model. TSD_HAS_ROOT_EVAL and TSD_HAS_TRIGGER_STATE say that the model has
// the internal names which the fast path uses (sim/verilated/library.py looks); without them it runs slower.

#include "Vtsu.h"
#include "Vtsu___024root.h"
#include "tsd_abi.h"
#include "tsd_beat.h"
#include "tsd_config.h"

#include <memory>
#include <new>

#if TSD_GROUPS > 1
#include "owed_draws.hpp"
#endif

// The health monitors watch 128 of 4096 cycles: two dwells in a row.
static const uint64_t kUnwatched = 4096 - 128;

struct tsd_device {
    VerilatedContext context;
    Vtsu top{&context, "tsu"};
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

    // The public eval() also takes locks that a single-threaded model does not need: a third of the time.
    void evaluate() {
#if TSD_HAS_ROOT_EVAL
        Vtsu___024root___eval(top.rootp);
#else
        top.eval();
#endif
    }

    // One clock cycle. Inputs were set and evaluated before; outputs are settled afterwards.
    void tick(bool with_loader) {
        top.clk = 1;
        top.load_clk = with_loader;
        top.monitor_clk = with_loader || !(cycles & kUnwatched);
        evaluate();
        top.clk = 0;
        top.load_clk = 0;
        top.monitor_clk = 0;
#if TSD_HAS_TRIGGER_STATE
        // Nothing is sensitive to falling edges: let the model remember low clocks instead of evaluating them.
        top.rootp->__Vtrigprevexpr___TOP__clk__0 = 0;
        top.rootp->__Vtrigprevexpr___TOP__load_clk__0 = 0;
        top.rootp->__Vtrigprevexpr___TOP__monitor_clk__0 = 0;
#else
        evaluate();
#endif
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
    device->top.register_address = address;
    device->tick(true);
    return device->top.register_data;
}

extern "C" tsd_device *tsd_open(void) {
    std::unique_ptr<tsd_device> device(new (std::nothrow) tsd_device);
    if (device == nullptr) return nullptr;
    Vtsu &top = device->top;
    top.clk = top.load_clk = top.monitor_clk = 0;
    top.command_valid = top.command_last = top.command_data = 0;
    top.draw_enable = 0;
    top.register_address = 0;
    top.eval();
    return device.release();
}

extern "C" void tsd_close(tsd_device *device) {
    if (device == nullptr) return;
    device->top.final();
    delete device;
}

extern "C" uint64_t tsd_spec_id(tsd_device *device) {
    const uint64_t low = read_register(device, TSD_REGISTER_SPEC_ID_LOW);
    return low | static_cast<uint64_t>(read_register(device, TSD_REGISTER_SPEC_ID_HIGH)) << 32;
}

extern "C" uint32_t tsd_health(tsd_device *device, uint32_t *lanes) {
    if (!device->top.alarm) return 0;
    for (unsigned alarm = 0; alarm < TSD_ALARMS; ++alarm) lanes[alarm] = read_register(device, tsd_lane_registers[alarm]);
    return read_register(device, TSD_REGISTER_HEALTH) & ((1u << TSD_ALARMS) - 1);
}

extern "C" uint64_t tsd_cycles(tsd_device *device) { return device->cycles; }

extern "C" const char *tsd_message(tsd_device *device) { return device->message; }

// Word `index` of a command as it is sent.
static uint32_t sent_word(const tsd_device *device, const uint32_t *words, uint32_t index) {
#if TSD_GROUPS > 1
    if (index == 0) return (words[0] & ((UINT32_C(1) << TSD_COMMON_TAG_LOW) - 1)) | device->tag << TSD_COMMON_TAG_LOW;
#endif
    return words[index];
}

// Note the draws that a good command brings.
static void expect_draws(tsd_device *device, const uint32_t *words, uint32_t status) {
#if TSD_GROUPS > 1
    const uint32_t opcode = words[0] & ((UINT32_C(1) << TSD_COMMON_OPCODE_WIDTH) - 1);
    if (status == TSD_STATUS_OK && (opcode == TSD_OPCODE_LOAD || opcode == TSD_OPCODE_DRAW))
        device->owed.ask(device->tag, words[TSD_COMMON_COUNT_WORD]);
#endif
}

extern "C" int tsd_command(tsd_device *device, const uint32_t *words, uint32_t n, uint64_t max_cycles, uint32_t *status,
                           uint64_t *total) {
    Vtsu &top = device->top;
    const uint64_t end = device->cycles + max_cycles;
    uint32_t sent = 0;
    int result = -1;
    if (n == 0) {
        device->message = "a command has at least one word";
        return -1;
    }
#if TSD_GROUPS > 1
    device->tag = (device->tag + 1) & ((UINT32_C(1) << TSD_COMMON_TAG_WIDTH) - 1);
#endif
    device->message = "no answer to a command: its bank or its noise is still needed by draws that were not taken";
    while (device->cycles < end) {
        top.command_valid = sent < n;
        top.command_data = sent < n ? sent_word(device, words, sent) : 0;
        top.command_last = sent + 1 == n;
        device->evaluate();
        sent += top.command_valid && top.command_ready;
        const bool answered = top.status_valid;
        *status = top.status_code;
        *total = top.status_total;
        device->tick(true);
        if (answered) {
            expect_draws(device, words, *status);
            device->message = "no error";
            result = 0;
            break;
        }
    }
    top.command_valid = top.command_last = 0;
    return result;
}

#if TSD_GROUPS > 1

extern "C" uint64_t tsd_draws(tsd_device *device, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads,
                              uint64_t max_cycles) {
    Vtsu &top = device->top;
    OwedDraws &owed = device->owed;
    const uint64_t end = device->cycles + max_cycles;
    const char *message = "fewer draws than asked for within the cycle bound";
    uint64_t taken = owed.take(n, tokens, weights, spreads);
    if (taken < n && !owed.none()) {
        top.draw_enable = 1;
        device->tick(false);
    }
    while (top.draw_enable) {
        bool known = true;
        if (top.draw_valid && owed.passes(top.draw_tag) && taken + TSD_BEAT_LANES <= n) {
            const unsigned count = tsd_copy_beat(top, tokens + taken, weights + taken, spreads + taken);
            taken += count;
            owed.passed(count);
        } else if (top.draw_valid) {
            const unsigned count = tsd_copy_beat(top, device->kept_tokens, device->kept_weights, device->kept_spreads);
            Draw draws[TSD_BEAT_LANES];
            for (unsigned i = 0; i < count; ++i)
                draws[i] = {device->kept_tokens[i], device->kept_weights[i], device->kept_spreads[i]};
            known = owed.keep(top.draw_tag, draws, count);
        }
        if (!known) message = "the TSU delivered draws that no command asked for";
        taken += owed.take(n - taken, tokens + taken, weights + taken, spreads + taken);
        if (taken == n || owed.none() || !known || device->cycles >= end) top.draw_enable = 0;
        device->tick(!top.draw_enable);  // the last one with the registers, which hold the alarm
    }
    if (taken < n && owed.none()) message = "fewer draws were asked for by LOAD and DRAW than are to be taken";
    device->message = taken < n ? message : "no error";
    return taken;
}

#else

extern "C" uint64_t tsd_draws(tsd_device *device, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads,
                              uint64_t max_cycles) {
    Vtsu &top = device->top;
    const uint64_t end = device->cycles + max_cycles;
    uint64_t taken = 0;
    taken += device->take_kept(n, tokens, weights, spreads);
    if (taken < n) {
        top.draw_enable = 1;
        device->tick(false);
    }
    while (taken + 2 * TSD_BEAT_LANES <= n && device->cycles < end) {
        if (top.draw_valid) taken += tsd_copy_beat(top, tokens + taken, weights + taken, spreads + taken);
        device->tick(false);
    }
    while (top.draw_enable) {
        if (top.draw_valid) {
            device->kept_end = tsd_copy_beat(top, device->kept_tokens, device->kept_weights, device->kept_spreads);
            device->kept_first = 0;
            taken += device->take_kept(n - taken, tokens + taken, weights + taken, spreads + taken);
        }
        if (taken == n || device->cycles >= end) top.draw_enable = 0;
        device->tick(!top.draw_enable);  // the last one with the registers, which hold the alarm
    }
    device->message = taken < n ? "fewer draws than asked for within the cycle bound" : "no error";
    return taken;
}

#endif
