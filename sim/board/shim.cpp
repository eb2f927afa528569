// SPDX-License-Identifier: Apache-2.0
// The Verilated board: clocks the RTL, writes bytes to its `rx` pin bit by bit and reads its `tx` pin.
// Compiled in one unit with the generated model.
//
// BOARD_HAS_ROOT_EVAL and BOARD_HAS_TRIGGER_STATE say that the model has the internal names which the fast path uses
// (sim/board/library.py looks); without them it runs slower.

#include "Vboard.h"
#include "Vboard___024root.h"

#include <cstdint>
#include <memory>
#include <new>

#define EXPORT extern "C" __attribute__((visibility("default")))

static const uint16_t NO_STOP = 0x100;  // in a line item: the byte's stop bit is missing

struct board_device {
    VerilatedContext context;
    Vboard top{&context, "board"};
    uint64_t cycles = 0;
    uint64_t still = 0;  // cycles since either line moved
    uint64_t clk_hz, baud;

    // Writer: levels of quarters of bits that are still to be written, lowest first; time left of the one on the pin.
    uint64_t levels = 0;
    unsigned levels_left = 0;
    int64_t write_left = 0;  // in units of 1 / (4 clk_hz baud) s: a cycle is 4 `baud`, a quarter of a bit `clk_hz`

    // Reader: bits taken of the byte on the pin; time to the next sample.
    bool reading = false;
    unsigned taken = 0;
    uint32_t read_bits = 0;
    int64_t read_left = 0;

    void evaluate() {
#if BOARD_HAS_ROOT_EVAL
        Vboard___024root___eval(top.rootp);
#else
        top.eval();
#endif
    }

    void tick() {
        top.clk = 1;
        evaluate();
        top.clk = 0;
#if BOARD_HAS_TRIGGER_STATE
        // Nothing is sensitive to the falling edge: let the model remember a low clock instead of evaluating it.
        top.rootp->__Vtrigprevexpr___TOP__clk__0 = 0;
#else
        evaluate();
#endif
        ++cycles;
    }

    // Put an item on the way. A missing stop bit is low for three quarters and high for five: a line that were low to its
    // end would run into the next start bit.
    void begin(uint16_t item) {
        levels = 0;
        for (unsigned bit = 0; bit < 8; ++bit) levels |= (item >> bit & 1 ? UINT64_C(15) : 0) << (4 * bit + 4);
        levels |= (item & NO_STOP ? UINT64_C(31) << 3 : UINT64_C(15)) << 36;
        levels_left = item & NO_STOP ? 44 : 40;
    }

    bool writing() const { return levels_left > 0 || write_left > 0; }

    // What the pin shows in the coming cycle.
    void write_cycle() {
        while (write_left <= 0 && levels_left > 0) {
            top.rx = levels & 1;
            levels >>= 1;
            --levels_left;
            write_left += static_cast<int64_t>(clk_hz);
        }
        if (write_left > 0) write_left -= 4 * static_cast<int64_t>(baud);
    }

    // Look at the pin behind a clock edge; true when a byte is complete (bit 8 of `item`: without stop bit).
    bool read_cycle(uint16_t *item) {
        if (!reading) {
            if (top.tx) return false;
            reading = true;
            taken = 0;
            read_bits = 0;
            read_left = static_cast<int64_t>(clk_hz + clk_hz / 2);  // the middle of the first data bit
        }
        read_left -= static_cast<int64_t>(baud);
        if (read_left > 0) return false;
        read_left += static_cast<int64_t>(clk_hz);
        read_bits |= static_cast<uint32_t>(top.tx & 1) << taken;
        if (++taken < 9) return false;
        reading = false;
        *item = static_cast<uint16_t>(read_bits & 0xFF) | (read_bits >> 8 & 1 ? 0 : NO_STOP);
        return true;
    }
};

EXPORT board_device *board_open(uint64_t clk_hz, uint64_t baud) {
    std::unique_ptr<board_device> device(new (std::nothrow) board_device);
    if (device == nullptr) return nullptr;
    device->clk_hz = clk_hz;
    device->baud = baud;
    device->top.clk = 0;
    device->top.rx = 1;
    device->top.eval();
    return device.release();
}

EXPORT void board_close(board_device *device) {
    if (device == nullptr) return;
    device->top.final();
    delete device;
}

EXPORT uint64_t board_cycles(const board_device *device) { return device->cycles; }

// Writes items to the line, back to back, and runs until `cycles` have passed, or all were written and neither line
// moved for `quiet` cycles, or `capacity` items were read. Returns the items read into `out`; *sent says how many
// were begun, *is_quiet whether the run ended for want of anything moving.
EXPORT uint64_t board_run(board_device *device, const uint16_t *items, uint64_t n, uint16_t *out, uint64_t capacity,
                          uint64_t cycles, uint64_t quiet, uint64_t *sent, uint32_t *is_quiet) {
    const uint64_t end = device->cycles + cycles;
    uint64_t begun = 0, read = 0;
    if (n) device->still = 0;
    while (device->cycles < end && read < capacity && device->still < quiet) {
        if (!device->writing() && begun < n) device->begin(items[begun++]);
        device->write_cycle();
        device->tick();
        read += device->read_cycle(out + read);
        device->still = device->writing() || device->reading ? 0 : device->still + 1;
    }
    *sent = begun;
    *is_quiet = device->still >= quiet;
    return read;
}
