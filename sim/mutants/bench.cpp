// SPDX-License-Identifier: Apache-2.0
// Runs a script (sim/mutants/script.py) on the Verilated netlist with one mutant chosen, and says what went wrong first.
// Compiled in one unit with the generated model. Every wait is bounded by a cycle count of the script.

#include "Vtsu.h"
#include "mutants_ports.h"

#include <cstdint>
#include <memory>

#define EXPORT extern "C" __attribute__((visibility("default")))

enum Verdict {
    PASSED = 0,
    WRONG_STATUS = 1,
    WRONG_DRAW = 2,
    TOO_LATE = 3,
    STREAM_RULE = 4,
    UNASKED = 5,
    WRONG_REGISTER = 6,
    WRONG_HOLD = 7,
    WRONG_BUSY = 8,
};

static const unsigned SETTLE_CYCLES = 64;
static const unsigned HEADER_WORDS = 12;

struct Status {
    uint64_t head, total;
    bool operator==(const Status &other) const { return head == other.head && total == other.total; }
};

// A beat as a user sees it: lanes without a draw, and the spread of draws of the head, do not count.
struct Beat {
    uint64_t keep, mark, tokens[LANES], weights[LANES], spreads[LANES];
    bool operator==(const Beat &other) const {
        if (keep != other.keep || mark != other.mark) return false;
        for (unsigned lane = 0; lane < LANES; ++lane)
            if (tokens[lane] != other.tokens[lane] || weights[lane] != other.weights[lane] ||
                spreads[lane] != other.spreads[lane])
                return false;
        return true;
    }
};

struct Bench {
    VerilatedContext context;
    std::unique_ptr<Vtsu> model{new Vtsu(&context, "tsu")};
    Vtsu &top = *model;
    uint64_t cycles = 0, random = 1;
    bool had_status = false, had_beat = false, inside_command = false;
    uint64_t unanswered = 0, idle_cycles = 0;
    Status before_status{};
    Beat before_beat{};

    bool stalls(uint64_t per_256) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return (random >> 33 & 255) < per_256;
    }

    void settle() {
        top.clk = 0;
        top.eval();
    }

    void edge() {
        top.clk = 1;
        top.eval();
        ++cycles;
    }

    Status status() const {
        return {static_cast<uint64_t>(top.status_tag) | static_cast<uint64_t>(top.status_opcode) << 16 |
                    static_cast<uint64_t>(top.status_code) << 24,
                static_cast<uint64_t>(top.status_total)};
    }

    Beat beat() const {
        Beat seen{};
        seen.keep = top.draw_keep;
        seen.mark = static_cast<uint64_t>(top.draw_tag) | static_cast<uint64_t>(top.draw_last) << 16;
        read_draws(top, seen.keep, seen.tokens, seen.weights, seen.spreads);
        return seen;
    }

    // The settled outputs against the rules of the streams and of `busy`; then what the next cycle is compared with.
    bool rules(bool *busy_wrong) {
        const bool valid_status = top.status_valid, valid_beat = top.draw_valid;
        const Status now_status = status();
        const Beat now_beat = beat();
        if (had_status && !(valid_status && now_status == before_status)) return false;
        if (had_beat && !(valid_beat && now_beat == before_beat)) return false;
        had_status = valid_status && !top.status_ready;
        had_beat = valid_beat && !top.draw_ready;
        before_status = now_status;
        before_beat = now_beat;
        *busy_wrong = (unanswered || inside_command) && !top.busy;
        return true;
    }

    // For one cycle or two: in one, what lacks a reset of its own keeps its value.
    void start_reset(unsigned reset_cycles) {
        top.rst = 1;
        top.command_valid = 0;
        top.status_ready = top.draw_ready = 1;
        for (unsigned i = 0; i < reset_cycles; ++i) {
            settle();
            edge();
        }
        top.rst = 0;
        top.status_ready = top.draw_ready = 0;
        had_status = had_beat = inside_command = false;
        unanswered = 0;
    }
};

static const uint64_t *segment(Bench &bench, const uint64_t *at, int *verdict) {
    Vtsu &top = bench.top;
    const uint64_t flags = at[0], stalls = at[1], hold = at[3], held_statuses = at[4], bound = at[5] + hold;
    const uint64_t n_words = at[6], n_statuses = at[7], n_beats = at[8], beat_words = at[9], n_registers = at[10];
    const bool open_end = flags & 2;
    bench.random = at[2] * UINT64_C(0x9E3779B97F4A7C15) | 1;
    const uint64_t *words = at + HEADER_WORDS, *statuses = words + n_words, *beats = statuses + 2 * n_statuses;
    const uint64_t *registers = beats + beat_words, *end = registers + 2 * n_registers;
    if (flags & 1) bench.start_reset(1 + (at[2] >> 1 & 1));
    uint64_t sent = 0, answered = 0, taken = 0, quiet = 0;
    const uint64_t begin = bench.cycles;
    bool offered = false;
    for (;;) {
        const uint64_t passed = bench.cycles - begin;
        const bool complete = sent == n_words && answered == n_statuses && taken == n_beats;
        if (complete && (open_end || quiet >= SETTLE_CYCLES)) break;
        if (!complete && passed > bound) return *verdict = TOO_LATE, end;
        quiet = complete ? quiet + 1 : 0;
        offered = offered || (sent < n_words && !bench.stalls(stalls & 0xFFFF));
        top.command_valid = offered;
        top.command_data = offered ? words[sent] : 0;
        top.command_last = offered ? words[sent] >> 32 & 1 : 0;
        top.status_ready = !bench.stalls(stalls >> 16 & 0xFFFF);
        top.draw_ready = passed >= hold && !bench.stalls(stalls >> 32);
        bench.settle();
        bool busy_wrong = false;
        if (!bench.rules(&busy_wrong)) return *verdict = STREAM_RULE, end;
        if (busy_wrong || (quiet == SETTLE_CYCLES && top.busy)) return *verdict = WRONG_BUSY, end;
        if (hold && passed == hold && held_statuses != ~UINT64_C(0) && answered != held_statuses) return *verdict = WRONG_HOLD, end;
        if (top.status_valid && top.status_ready) {
            if (answered == n_statuses) return *verdict = UNASKED, end;
            const Status expected{statuses[2 * answered], statuses[2 * answered + 1]};
            if (!(bench.status() == expected) || bench.unanswered == 0) return *verdict = WRONG_STATUS, end;
            ++answered;
            --bench.unanswered;
        }
        if (top.draw_valid && top.draw_ready) {
            if (taken == n_beats) return *verdict = UNASKED, end;
            Beat expected{};
            expected.keep = *beats++;
            expected.mark = *beats++;
            for (unsigned lane = 0; lane < LANES; ++lane)
                if (expected.keep >> lane & 1) {
                    expected.tokens[lane] = *beats++;
                    expected.weights[lane] = *beats++;
                    expected.spreads[lane] = *beats++;
                }
            if (!(bench.beat() == expected)) return *verdict = WRONG_DRAW, end;
            ++taken;
        }
        if (offered && top.command_ready) {
            bench.inside_command = !top.command_last;
            bench.unanswered += top.command_last;
            offered = false;
            ++sent;
        }
        bench.edge();
    }
    top.status_ready = top.draw_ready = 0;
    for (uint64_t i = 0; i < at[11]; ++i) {
        top.command_valid = 0;
        bench.settle();
        bench.edge();
    }
    for (uint64_t i = 0; i < n_registers; ++i) {
        top.register_address = registers[2 * i];
        bench.settle();
        bench.edge();
        bench.settle();
        if (top.register_data != registers[2 * i + 1]) return *verdict = WRONG_REGISTER, end;
    }
    return end;
}

// Runs the script on mutant `selector` (0: the netlist as it is). `where`: the segment that failed; `cycles`: clock
// cycles until then.
EXPORT int mutants_run(uint32_t selector, const uint64_t *script, uint64_t *where, uint64_t *cycles) {
    Bench bench;
    bench.top.mutsel = selector;
    bench.top.register_address = 0;
    bench.start_reset(2);
    int verdict = PASSED;
    const uint64_t n = script[0];
    const uint64_t *at = script + 1;
    for (*where = 0; *where < n; ++*where) {
        at = segment(bench, at, &verdict);
        if (verdict != PASSED) break;
    }
    *cycles = bench.cycles;
    bench.top.final();
    return verdict;
}
