// SPDX-License-Identifier: Apache-2.0
// Noise of one lane: blocks of candidates from up to four generator streams that step side by side in one SIMD register.
// Generators, word order and seeding: hw/spec/noise.py.
#pragma once

#include <cstdint>

#include "tsd_config.h"

namespace tsd {

constexpr unsigned kStreamSlots = 4;      // 32-bit elements of one vector; spare elements stay zero
constexpr unsigned kBlockCandidates = 256;  // candidates made at a time; a multiple of 32 for the plain LFSR

static_assert(TSD_NOISE_WORDS <= kStreamSlots, "a candidate takes at most four words");
static_assert(TSD_STATE_WORDS == 4 && TSD_NOISE_WORD_BITS == 32, "generators have four 32-bit words of state");

// Element s belongs to stream s of the lane.
typedef uint32_t WordVector __attribute__((vector_size(4 * kStreamSlots)));

template <unsigned kCount>
inline WordVector rotate_left(WordVector value) {
  return (value << kCount) | (value >> (32 - kCount));
}

struct Lane {
  WordVector state[TSD_STATE_WORDS];
  alignas(64) WordVector block[kBlockCandidates];  // words made and not yet consumed, from `position` on
  uint32_t position;

  void seed(const uint32_t *states);
  void refill();
  const WordVector *next();
};

// Start every stream; `states` holds the four words of stream 0 of this lane, then those of stream 1, and so on.
inline void Lane::seed(const uint32_t *states) {
  for (unsigned word = 0; word < TSD_STATE_WORDS; word++) {
    WordVector value = {};
    for (unsigned stream = 0; stream < TSD_NOISE_WORDS; stream++) value[stream] = states[stream * TSD_STATE_WORDS + word];
    state[word] = value;
  }
  position = kBlockCandidates;
}

#if TSD_NOISE == TSD_GENERATOR_XOSHIRO128PP

inline void Lane::refill() {
  WordVector s0 = state[0], s1 = state[1], s2 = state[2], s3 = state[3];
  for (unsigned i = 0; i < kBlockCandidates; i++) {
    block[i] = rotate_left<7>(s0 + s3) + s0;
    const WordVector shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = rotate_left<11>(s3);
  }
  state[0] = s0, state[1] = s1, state[2] = s2, state[3] = s3;
  position = 0;
}

#elif TSD_NOISE == TSD_GENERATOR_LFSR || TSD_NOISE == TSD_GENERATOR_LFSR_LEAP

// The next 32 bits of the taps 128, 126, 101, 99: tap t is bit t - 1 of the state, word 0 lowest.
inline WordVector lfsr_fresh(WordVector s2, WordVector s3) {
  return s3 ^ (s3 << 2 | s2 >> 30) ^ (s3 << 27 | s2 >> 5) ^ (s3 << 29 | s2 >> 3);
}

inline void Lane::refill() {
  WordVector s0 = state[0], s1 = state[1], s2 = state[2], s3 = state[3];
#if TSD_NOISE == TSD_GENERATOR_LFSR_LEAP
  constexpr unsigned kWordsPerLeap = 1;
#else
  constexpr unsigned kWordsPerLeap = 32;
#endif
  for (unsigned i = 0; i < kBlockCandidates; i += kWordsPerLeap) {
    const WordVector fresh = lfsr_fresh(s2, s3);
    block[i] = s0;
    // The plain LFSR shows each single shift on the way: its words slide over the old and the fresh 32 bits.
    for (unsigned shift = 1; shift < kWordsPerLeap; shift++) block[i + shift] = s0 << shift | fresh >> (32 - shift);
    s3 = s2, s2 = s1, s1 = s0, s0 = fresh;
  }
  state[0] = s0, state[1] = s1, state[2] = s2, state[3] = s3;
  position = 0;
}

#else
#error "this kernel has no code for the noise generator of the configuration"
#endif

// Words of the next candidate.
inline const WordVector *Lane::next() {
  if (position == kBlockCandidates) refill();
  return &block[position++];
}

}  // namespace tsd
