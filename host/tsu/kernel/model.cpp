// SPDX-License-Identifier: Apache-2.0
// The bit-true TSU model behind sim/native/tsd_abi.h: the commands of hw/spec/commands.py and the integers of
// docs/DESIGN_TSD.md. Compiled once for each configuration; every width is a constant of tsd_config.h.
#include "tsd_abi.h"

#include <cstdint>
#include <new>

#include "noise.hpp"
#include "sampler.hpp"
#include "tsd_config.h"
#include "tsd_exp2.h"
#if TSD_CONTEXTS
#include "blocks.hpp"
#endif

// Field `name` of a command's words, at most 64 bits.
#define TSD_GET(words, name) \
  tsd::get_field((words), TSD_##name##_WORD, TSD_##name##_LOW, TSD_##name##_WIDTH)

namespace tsd {

constexpr unsigned kMantissaBits = TSD_EXP2_MANTISSA_FRACTION_BITS + 1;
constexpr uint64_t kChunkDraws = 256 * TSD_LANES;  // a turn of every lane: small enough for the output to stay in cache

inline uint64_t get_field(const uint32_t *words, unsigned word, unsigned low, unsigned width) {
  uint64_t value = words[word];
  if (low + width > 32) value |= uint64_t(words[word + 1]) << 32;
  return (value >> low) & (~uint64_t(0) >> (64 - width));
}

// 2^-(fraction / 2^44) with 50 fraction bits.
inline uint64_t exp2_mantissa(uint64_t fraction) {
  const uint64_t segment = fraction >> (TSD_EXP2_FRACTION_BITS - TSD_EXP2_SEGMENT_BITS);
  const uint64_t offset = (fraction >> TSD_EXP2_DROPPED_BITS) & ((uint64_t(1) << TSD_EXP2_OFFSET_BITS) - 1);
  const uint64_t coarse = offset >> (TSD_EXP2_OFFSET_BITS - TSD_EXP2_CURVE_OFFSET_BITS);
  const uint64_t slope = tsd_exp2_c1[segment] - ((tsd_exp2_c2[segment] * coarse) >> TSD_EXP2_CURVE_SHIFT);
  return tsd_exp2_c0[segment] - ((slope * offset) >> TSD_EXP2_SLOPE_SHIFT);
}

// max(1, mantissa / 2^shift rounded to nearest, ties up); the mantissa is below 2^51.
inline uint64_t round_weight(uint64_t mantissa, uint64_t shift) {
  if (shift > kMantissaBits) return 1;
  const uint64_t rounded = shift ? (mantissa + (uint64_t(1) << (shift - 1))) >> shift : mantissa;
  return rounded ? rounded : 1;
}

struct Outcome {
  uint32_t status;
  uint64_t total;
};

}  // namespace tsd

namespace tsd {

// Lanes that share a psi.
struct Group {
  bool has_psi;
  uint32_t newest;     // bank of the psi loaded last
  uint32_t next_lane;  // lane of the next draw
  Lane lanes[TSD_LANES];
  Bank banks[2];

  void start_lanes(const uint32_t *states);
  void take(Bank *bank, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads);
};

// Start every stream from its four words of state, stream 0 of the group first, and begin at lane 0.
void Group::start_lanes(const uint32_t *states) {
  for (uint32_t lane = 0; lane < TSD_LANES; lane++)
    lanes[lane].seed(states + lane * TSD_NOISE_WORDS * TSD_STATE_WORDS);
  next_lane = 0;
}

// Draws of one psi that were asked for and not taken.
struct Owed {
  Group *group;
  Bank *bank;
};

}  // namespace tsd

struct tsd_device {
  const char *message = "";
  bool seeded = true, has_table = false;
  uint32_t turn = 0, last = 0;  // groups of the next LOAD and of the last one
  uint64_t table[TSD_TABLE_ENTRIES] = {};
  tsd::Group groups[TSD_GROUPS] = {};
#if TSD_CONTEXTS
  tsd::PsiBank bank;
  tsd::Block block;  // whose tokens have not been taken
  tsd::Outcome context(const uint32_t *words, uint32_t n);
  tsd::Outcome start_block(const uint32_t *words, uint32_t n);
#endif
  // In the order of the commands: draws are added to the last one only, for no other psi can be drawn from.
  tsd::Owed owed[2 * TSD_GROUPS] = {};
  uint32_t owed_count = 0;

  tsd_device() { start_lanes(tsd_reset_states); }
  void start_lanes(const uint32_t *states);
  bool blocked(const uint32_t *words);
  tsd::Outcome execute(const uint32_t *words, uint32_t n);
  tsd::Outcome load(tsd::Group *group, const uint32_t *words, uint32_t n);
  tsd::Outcome draw(tsd::Group *group, const uint32_t *words, uint32_t n);
  tsd::Outcome load_table(const uint32_t *words, uint32_t n);
  tsd::Outcome seed(const uint32_t *words, uint32_t n);
  tsd::Outcome fill(tsd::Bank *bank, const uint32_t *words, uint32_t n) const;
  uint64_t weight(unsigned distance, uint64_t mode, uint64_t ratio, uint64_t shift) const;
  void owe(tsd::Group *group, uint64_t count);
  uint64_t take(uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads);
};

// Start every stream of all groups, those of group 0 first.
void tsd_device::start_lanes(const uint32_t *states) {
  for (uint32_t group = 0; group < TSD_GROUPS; group++)
    groups[group].start_lanes(states + group * TSD_LANES * TSD_NOISE_WORDS * TSD_STATE_WORDS);
}

// Whether a command must wait for draws to be taken: a LOAD for a bank, a SEED for the noise.
bool tsd_device::blocked(const uint32_t *words) {
  if (TSD_GET(words, COMMON_VERSION) != TSD_COMMAND_VERSION) return false;
  const uint64_t opcode = TSD_GET(words, COMMON_OPCODE);
  if (opcode == TSD_OPCODE_LOAD && groups[turn].banks[0].pending && groups[turn].banks[1].pending) {
    message = "a LOAD needs a free bank: take the draws of the psi before the last one first";
    return true;
  }
  if (opcode == TSD_OPCODE_SEED && owed_count) {
    message = "a SEED needs an idle TSU: take the draws asked for first";
    return true;
  }
  return false;
}

tsd::Outcome tsd_device::execute(const uint32_t *words, uint32_t n) {
  const uint64_t opcode = TSD_GET(words, COMMON_OPCODE);
  const bool of_bank = TSD_CONTEXTS && (opcode == TSD_OPCODE_CONTEXT || opcode == TSD_OPCODE_BLOCK);
  if (opcode != TSD_OPCODE_LOAD && opcode != TSD_OPCODE_DRAW && opcode != TSD_OPCODE_TABLE && opcode != TSD_OPCODE_SEED &&
      !of_bank)
    return {TSD_STATUS_BAD_OPCODE, 0};
  if (TSD_GET(words, COMMON_VERSION) != TSD_COMMAND_VERSION) return {TSD_STATUS_BAD_VERSION, 0};
  if (opcode == TSD_OPCODE_LOAD) {
    last = turn;
    turn = (turn + 1) % TSD_GROUPS;
    return load(&groups[last], words, n);
  }
  if (opcode == TSD_OPCODE_DRAW) return draw(&groups[last], words, n);
  if (opcode == TSD_OPCODE_TABLE) return load_table(words, n);
#if TSD_CONTEXTS
  if (opcode == TSD_OPCODE_CONTEXT) return context(words, n);
  if (opcode == TSD_OPCODE_BLOCK) return start_block(words, n);
#endif
  turn = 0;
  return seed(words, n);
}

uint64_t tsd_device::weight(unsigned distance, uint64_t mode, uint64_t ratio, uint64_t shift) const {
  uint64_t mantissa = table[distance] << (tsd::kMantissaBits - TSD_WEIGHT_BITS), exponent = 0;
  if (mode == TSD_MODE_EXP2) {
    const uint64_t power = distance * ratio;
    mantissa = tsd::exp2_mantissa(power & ((uint64_t(1) << TSD_EXP2_FRACTION_BITS) - 1));
    exponent = power >> TSD_EXP2_FRACTION_BITS;
  }
  return tsd::round_weight(mantissa, tsd::kMantissaBits - TSD_WEIGHT_BITS + exponent + shift);
}

// Fill a bank from the words of a LOAD or CONTEXT; where they break a rule, the bank stays as it is.
tsd::Outcome tsd_device::fill(tsd::Bank *bank, const uint32_t *words, uint32_t n) const {
  const uint64_t k = TSD_GET(words, LOAD_K), vocab_size = TSD_GET(words, LOAD_VOCAB_SIZE);
  const uint64_t mode = TSD_GET(words, LOAD_MODE), shift = TSD_GET(words, LOAD_SHIFT);
  const uint64_t tail_weight = TSD_GET(words, LOAD_TAIL_WEIGHT);
  const uint64_t ratio = TSD_GET(words, LOAD_LOG2_RATIO_Q) & ((uint64_t(1) << TSD_EXP2_RATIO_BITS) - 1);
  const int score_max = int8_t(TSD_GET(words, LOAD_SCORE_MAX_Q));
  if (n != TSD_LOAD_HEADER_WORDS + k) return {TSD_STATUS_BAD_LENGTH, 0};
  if (k == 0 || k > TSD_K_MAX) return {TSD_STATUS_BAD_K, 0};
  if (vocab_size < k || vocab_size > TSD_VOCAB_MAX) return {TSD_STATUS_BAD_VOCAB, 0};
  if (!(mode == TSD_MODE_TABLE ? TSD_HAS_TABLE : TSD_HAS_EXP2)) return {TSD_STATUS_BAD_MODE, 0};
  if (mode == TSD_MODE_TABLE && !has_table) return {TSD_STATUS_NO_TABLE, 0};

  uint32_t ids[TSD_K_MAX];
  uint64_t weights[TSD_K_MAX], total = tail_weight;
  bool ids_rise = true, scores_fit = true, has_best = false;
  for (uint32_t i = 0; i < k; i++) {
    const uint32_t *entry = words + TSD_LOAD_HEADER_WORDS + i;
    ids[i] = uint32_t(TSD_GET(entry, ENTRY_ID));
    ids_rise &= ids[i] < vocab_size && (i == 0 || ids[i - 1] < ids[i]);
    const int distance = score_max - int8_t(TSD_GET(entry, ENTRY_SCORE_Q));
    scores_fit &= distance >= 0;
    has_best |= distance == 0;
    weights[i] = weight(distance & 0xFF, mode, ratio, shift);
    total += weights[i];
  }
  if (!ids_rise) return {TSD_STATUS_BAD_ID, 0};
  if (!scores_fit || !has_best) return {TSD_STATUS_BAD_SCORE, 0};
  if (tail_weight >> TSD_TOTAL_BITS || (tail_weight && vocab_size == k)) return {TSD_STATUS_BAD_TAIL, 0};
  if (total < TSD_TOTAL_MIN || total > TSD_TOTAL_MAX) return {TSD_STATUS_BAD_TOTAL, 0};
  bank->prepare(uint32_t(vocab_size), ids, weights, uint32_t(k), tail_weight, total);
  return {TSD_STATUS_OK, total};
}

tsd::Outcome tsd_device::load(tsd::Group *group, const uint32_t *words, uint32_t n) {
  group->has_psi = false;
  if (n < TSD_LOAD_HEADER_WORDS) return {TSD_STATUS_BAD_LENGTH, 0};
  const uint64_t count = TSD_GET(words, COMMON_COUNT);
  const uint32_t other = group->banks[group->newest].pending ? !group->newest : group->newest;
  const tsd::Outcome outcome = fill(&group->banks[other], words, n);
  if (outcome.status != TSD_STATUS_OK) return outcome;
  if (count && !seeded) return {TSD_STATUS_NO_SEED, 0};
  group->newest = other;
  group->has_psi = true;
  owe(group, count);
  return outcome;
}

#if TSD_CONTEXTS

tsd::Outcome tsd_device::context(const uint32_t *words, uint32_t n) {
  groups[0].has_psi = false;
  if (n < TSD_LOAD_HEADER_WORDS) return {TSD_STATUS_BAD_LENGTH, 0};
  const uint64_t slot = TSD_GET(words, COMMON_COUNT);
  if (slot < TSD_CONTEXTS) bank.empty(uint32_t(slot));
  if (n != TSD_LOAD_HEADER_WORDS + TSD_GET(words, LOAD_K)) return {TSD_STATUS_BAD_LENGTH, 0};
  if (slot >= TSD_CONTEXTS) return {TSD_STATUS_BAD_CONTEXT, 0};
  tsd::Bank *memory = bank.memory(uint32_t(slot));
  const tsd::Outcome outcome = fill(memory, words, n);
  if (outcome.status == TSD_STATUS_OK) bank.loaded[slot] = true;
  return outcome;
}

tsd::Outcome tsd_device::start_block(const uint32_t *words, uint32_t n) {
  const uint32_t streams = n - TSD_BLOCK_HEADER_WORDS;
  if (n <= TSD_BLOCK_HEADER_WORDS || streams > TSD_STREAMS) return {TSD_STATUS_BAD_LENGTH, 0};
  for (uint32_t i = 0; i < streams; i++) {
    const uint64_t start = TSD_GET(words + TSD_BLOCK_HEADER_WORDS + i, BLOCK_CONTEXT);
    if (start >= TSD_CONTEXTS || !bank.loaded[start]) return {TSD_STATUS_BAD_CONTEXT, 0};
    block.starts[i] = uint32_t(start);
  }
  const uint32_t length = TSD_GET(words, COMMON_COUNT) & ((1u << TSD_BLOCK_LENGTH_BITS) - 1);
  if (length && !seeded) return {TSD_STATUS_NO_SEED, 0};
  block.streams = length ? streams : 0;
  block.length = length;
  return {TSD_STATUS_OK, 0};
}

#endif

tsd::Outcome tsd_device::draw(tsd::Group *group, const uint32_t *words, uint32_t n) {
  if (n != TSD_DRAW_COMMAND_WORDS) return {TSD_STATUS_BAD_LENGTH, 0};
  if (!group->has_psi) return {TSD_STATUS_NO_PSI, 0};
  const uint64_t count = TSD_GET(words, COMMON_COUNT);
  if (count && !seeded) return {TSD_STATUS_NO_SEED, 0};
  owe(group, count);
  return {TSD_STATUS_OK, group->banks[group->newest].total};
}

tsd::Outcome tsd_device::load_table(const uint32_t *words, uint32_t n) {
  has_table = false;
  if (n != TSD_TABLE_COMMAND_WORDS) return {TSD_STATUS_BAD_LENGTH, 0};
  if (!TSD_HAS_TABLE) return {TSD_STATUS_BAD_MODE, 0};
  for (uint32_t i = 0; i < TSD_TABLE_ENTRIES; i++) {
    const uint32_t *entry = words + 1 + i * TSD_TABLE_ENTRY_WORDS;
    table[i] = (entry[0] | uint64_t(entry[1]) << 32) & ((uint64_t(1) << TSD_WEIGHT_BITS) - 1);
  }
  has_table = true;
  return {TSD_STATUS_OK, 0};
}

tsd::Outcome tsd_device::seed(const uint32_t *words, uint32_t n) {
  seeded = false;
  if (n != TSD_SEED_COMMAND_WORDS) return {TSD_STATUS_BAD_LENGTH, 0};
  const uint32_t *states = words + 1;
  for (uint32_t stream = 0; stream < TSD_NOISE_STREAMS; stream++) {
    uint32_t any = 0;
    for (uint32_t i = 0; i < TSD_STATE_WORDS; i++) any |= states[stream * TSD_STATE_WORDS + i];
    if (!any) return {TSD_STATUS_BAD_SEED, 0};
  }
  start_lanes(states);
  seeded = true;
  return {TSD_STATUS_OK, 0};
}

// n draws of one bank: draw i of the group's stream is made by its lane i mod lanes.
void tsd::Group::take(Bank *bank, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads) {
  bank->pending -= n;
  bank->drawn += n;
  if (!bank->guided && bank->drawn > kGuideAfterDraws) bank->build_guides();
  while (n) {
    const uint64_t chunk = n < kChunkDraws ? n : kChunkDraws;
    for (uint32_t turn = 0; turn < TSD_LANES && turn < chunk; turn++) {
      Lane *lane = &lanes[(next_lane + turn) % TSD_LANES];
      const uint64_t share = (chunk - turn + TSD_LANES - 1) / TSD_LANES;
      if (bank->guided)
        bank->draw<true>(lane, share, tokens + turn, weights + turn, spreads + turn);
      else
        bank->draw<false>(lane, share, tokens + turn, weights + turn, spreads + turn);
    }
    next_lane = uint32_t((next_lane + chunk) % TSD_LANES);
    n -= chunk, tokens += chunk, weights += chunk, spreads += chunk;
  }
}

// `count` more draws are asked for of the psi that the group was given last.
void tsd_device::owe(tsd::Group *group, uint64_t count) {
  tsd::Bank *bank = &group->banks[group->newest];
  if (count && !bank->pending) owed[owed_count++] = {group, bank};
  bank->pending += count;
}

// Up to n of the draws asked for, in the order of the commands; how many.
uint64_t tsd_device::take(uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads) {
  uint64_t taken = 0;
  while (taken < n && owed_count) {
    const tsd::Owed first = owed[0];
    const uint64_t share = n - taken < first.bank->pending ? n - taken : first.bank->pending;
    first.group->take(first.bank, share, tokens + taken, weights + taken, spreads + taken);
    taken += share;
    if (first.bank->pending) continue;
    owed_count--;
    for (uint32_t i = 0; i < owed_count; i++) owed[i] = owed[i + 1];
  }
  return taken;
}

extern "C" {

tsd_device *tsd_open(void) { return new (std::nothrow) tsd_device; }

void tsd_close(tsd_device *device) { delete device; }

uint64_t tsd_spec_id(tsd_device *) { return TSD_SPEC_ID; }

uint64_t tsd_cycles(tsd_device *) { return 0; }

int tsd_command(tsd_device *device, const uint32_t *words, uint32_t n, uint64_t, uint32_t *status, uint64_t *total) {
  device->message = "";
  if (n == 0) {
    device->message = "a command has at least one word";
    return -1;
  }
#if TSD_CONTEXTS
  if (device->block.streams) {
    device->message = "the tokens of a BLOCK have to be taken first";
    return -1;
  }
  if (TSD_GET(words, COMMON_OPCODE) == TSD_OPCODE_BLOCK && device->owed_count) {
    device->message = "a BLOCK needs an idle TSU: take the draws asked for first";
    return -1;
  }
#endif
  // A command of one word needs neither bank nor noise: its length is refused at once.
  if (n > 1 && device->blocked(words)) return -1;
  const tsd::Outcome outcome = device->execute(words, n);
  *status = outcome.status;
  *total = outcome.total;
  return 0;
}

uint64_t tsd_draws(tsd_device *device, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads, uint64_t) {
  device->message = "";
  const uint64_t taken = device->take(n, tokens, weights, spreads);
  if (taken < n) device->message = "fewer draws were asked for by LOAD and DRAW than are to be taken";
  return taken;
}

#if TSD_CONTEXTS
uint32_t tsd_blocks(tsd_device *device, uint32_t streams, uint32_t length, uint32_t *tokens, uint64_t *weights,
                    uint32_t *spreads, uint32_t *lengths, uint64_t) {
  device->message = "";
  if (streams != device->block.streams || length != device->block.length) {
    device->message = "there is no BLOCK of so many streams and tokens to take";
    return 0;
  }
  for (uint32_t lane = 0; lane < TSD_LANES; lane++)
    device->block.draw(device->bank, &device->groups[0].lanes[lane], lane, tokens, weights, spreads, lengths);
  device->block.streams = 0;
  return streams;
}
#endif

uint32_t tsd_health(tsd_device *, uint32_t *) { return 0; }

const char *tsd_message(tsd_device *device) { return device->message; }
}
