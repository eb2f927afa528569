// SPDX-License-Identifier: Apache-2.0
// The Verilated noise banks as a source of words. Compiled in one unit with the generated model.

#include "Vnoise_banks.h"
#include "tsd_words.h"

#include <cstdint>
#include <memory>
#include <new>

static const unsigned STATE_WORDS = 4;

struct noise_device {
    VerilatedContext context;
    Vnoise_banks top{&context, "noise_banks"};
    uint32_t single[TSD_STREAMS];
    unsigned single_next = TSD_STREAMS;

    void tick() {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
    }
};

static noise_device *current = nullptr;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT noise_device *noise_open(void) {
    std::unique_ptr<noise_device> device(new (std::nothrow) noise_device);
    if (device == nullptr) return nullptr;
    Vnoise_banks &top = device->top;
    top.clk = top.seeding = top.seed_stb = top.words_ready = 0;
    top.seed_word = 0;
    top.eval();
    return device.release();
}

EXPORT void noise_close(noise_device *device) {
    if (device == nullptr) return;
    if (current == device) current = nullptr;
    device->top.final();
    delete device;
}

EXPORT uint32_t noise_streams(void) { return TSD_STREAMS; }

// Shifts the states of all streams in: 4 words of stream 0, then 4 of stream 1, and so on.
EXPORT void noise_seed(noise_device *device, const uint32_t *states) {
    Vnoise_banks &top = device->top;
    top.words_ready = 0;
    top.seeding = top.seed_stb = 1;
    for (unsigned i = 0; i < STATE_WORDS * TSD_STREAMS; ++i) {
        top.seed_word = states[i];
        device->tick();
    }
    top.seeding = top.seed_stb = 0;
    device->tick();
    device->single_next = TSD_STREAMS;
}

// Takes n words of every stream: out[stream * stride + i]. Returns how many were taken; fewer than n where the
// banks offered none for `patience` cycles.
EXPORT uint64_t noise_fill(noise_device *device, uint32_t *out, uint64_t n, uint64_t stride, uint32_t patience) {
    Vnoise_banks &top = device->top;
    top.words_ready = 1;
    top.eval();
    uint32_t waited = 0;
    uint64_t taken = 0;
    while (taken < n && waited < patience) {
        if (top.words_valid) {
            tsd_copy_words(top, out + taken, stride);
            ++taken;
            waited = 0;
        } else {
            ++waited;
        }
        device->tick();
    }
    return taken;
}

// TestU01 takes a function without arguments: it reads the device chosen last, the streams in turn.
EXPORT void noise_choose(noise_device *device) { current = device; }

EXPORT unsigned int noise_next(void) {
    if (current->single_next == TSD_STREAMS) {
        noise_fill(current, current->single, 1, 1, 64);
        current->single_next = 0;
    }
    return current->single[current->single_next++];
}
