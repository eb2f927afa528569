// SPDX-License-Identifier: Apache-2.0
// A loaded psi and its draws: docs/DESIGN_TSD.md section 5 on whole blocks of noise.
//
// Two searches make a draw: the number of thresholds c C_j that are at most u, and the number of shifted ids id_i - i that
// are at most the tail index r. Both search keys grow with the leading bits of a noise word, so that a guide table over
// these bits answers all but one comparison; bins with two or more boundaries are marked and searched by bisection.
#pragma once

#include <cstdint>
#include <cstring>

#include "noise.hpp"
#include "tsd_config.h"

namespace tsd {

typedef unsigned __int128 Wide;

constexpr unsigned smaller(unsigned a, unsigned b) { return a < b ? a : b; }

constexpr unsigned kHeadGuideBits = smaller(12, TSD_UNIFORM_BITS);
constexpr unsigned kTailGuideBits = smaller(12, TSD_TAIL_NOISE_BITS);
constexpr unsigned kHeadGuideShift = TSD_UNIFORM_BITS - kHeadGuideBits;
constexpr unsigned kTailGuideShift = TSD_TAIL_NOISE_BITS - kTailGuideBits;
constexpr uint16_t kCrowded = 0x8000;  // a guide entry whose bin has two or more boundaries
constexpr uint64_t kGuideAfterDraws = 2048;  // a psi that is drawn from less than this is searched by bisection only

struct Candidate {
  uint64_t uniform;
  uint32_t tail_word;
};

// Cut the concatenated words, first word lowest, into u and the tail word above it.
inline Candidate cut_candidate(const WordVector *words) {
  uint32_t word[kStreamSlots];
  std::memcpy(word, words, sizeof word);
  const uint64_t low = word[0] | uint64_t(word[1]) << 32;
  const Wide all = Wide(low) | Wide(word[2] | uint64_t(word[3]) << 32) << 64;
  Candidate candidate;
  candidate.uniform = low & (~uint64_t(0) >> (64 - TSD_UNIFORM_BITS));
  candidate.tail_word = uint32_t(all >> TSD_UNIFORM_BITS) & (~uint32_t(0) >> (32 - TSD_TAIL_NOISE_BITS));
  return candidate;
}

// Number of the k ascending limits that are below the key, by bisection; `limits` is padded to `width`, a power of two.
template <typename Key>
inline uint32_t count_below(const Key *limits, uint32_t width, Key key) {
  uint32_t index = 0;
  for (uint32_t step = width / 2; step; step /= 2) index += step & -uint32_t(limits[index + step - 1] < key);
  return index + (limits[index] < key);
}

struct Leaf {
  uint64_t weight;
  uint32_t token;  // 0 for the tail
  uint32_t spread;
};

struct Drawn {
  uint64_t weight;
  uint32_t token, spread;
};

struct Bank {
  uint64_t pending;  // draws asked for and not yet taken
  uint64_t drawn;
  bool guided;
  uint64_t total;
  uint64_t uniform_last;  // c Z - 1: a larger u is rejected
  uint32_t tail_tokens;   // n = V - K
  uint32_t tail_reject;   // 2^tb mod n: a smaller low part is rejected; 0 when n = 0
  uint32_t k;
  uint32_t width;  // power of two, at least k
  // One spare entry behind each array of limits, for the comparison that follows a guide entry.
  alignas(64) uint64_t thresholds[TSD_K_MAX + 1];  // c C_j - 1, j = 1..k, then the largest integer
  alignas(64) uint32_t ranks[TSD_K_MAX + 1];       // id_i - i, then the largest integer; compared with r + 1
  alignas(64) Leaf leaves[TSD_K_MAX + 1];          // leaf k is the tail
  alignas(64) uint16_t head_guide[1u << kHeadGuideBits];
  alignas(64) uint16_t tail_guide[1u << kTailGuideBits];

  void prepare(uint32_t vocab_size, const uint32_t *ids, const uint64_t *weights, uint32_t count, uint64_t tail_weight,
               uint64_t sum);
  void build_guides();
  template <bool kGuided>
  void draw(Lane *lane, uint64_t n, uint32_t *tokens, uint64_t *out_weights, uint32_t *spreads) const;
  bool decide(const Candidate &candidate, Drawn *drawn) const;
};

// Fill the bank from checked integers. `sum` is Z.
inline void Bank::prepare(uint32_t vocab_size, const uint32_t *ids, const uint64_t *weights, uint32_t count,
                          uint64_t tail_weight, uint64_t sum) {
  pending = drawn = 0;
  guided = false;
  k = count;
  total = sum;
  tail_tokens = vocab_size - count;
  tail_reject = tail_tokens ? uint32_t((uint64_t(1) << TSD_TAIL_NOISE_BITS) % tail_tokens) : 0;
  for (width = 1; width < k;) width *= 2;
  const uint64_t scale = uint64_t((Wide(1) << TSD_UNIFORM_BITS) / total);
  uint64_t prefix = 0;
  for (uint32_t i = 0; i < k; i++) {
    prefix += weights[i];
    thresholds[i] = scale * prefix - 1;  // c C_j can be 2^64: it wraps to 0, and the limit to 2^64 - 1
    ranks[i] = ids[i] - i;
    leaves[i] = {weights[i], ids[i], 1};
  }
  for (uint32_t i = k; i <= width; i++) thresholds[i] = ~uint64_t(0), ranks[i] = ~uint32_t(0);
  leaves[k] = {tail_weight, 0, tail_tokens};
  uniform_last = scale * total - 1;
}

// For every bin: how many limits are below its first key, marked when two or more lie between its first and last key.
template <typename Key, typename KeyOf>
inline void build_guide(uint16_t *guide, uint32_t bins, unsigned shift, const Key *limits, uint32_t k, KeyOf key_of) {
  uint32_t below = 0;
  for (uint32_t bin = 0; bin < bins; bin++) {
    const uint64_t first = uint64_t(bin) << shift;
    const Key low = key_of(first), high = key_of(first + ((uint64_t(1) << shift) - 1));
    while (below < k && limits[below] < low) below++;
    guide[bin] = uint16_t(below | (below + 1 < k && limits[below + 1] < high ? kCrowded : 0));
  }
}

inline void Bank::build_guides() {
  build_guide(head_guide, 1u << kHeadGuideBits, kHeadGuideShift, thresholds, k, [](uint64_t u) { return u; });
  const uint64_t n = tail_tokens;
  build_guide(tail_guide, 1u << kTailGuideBits, kTailGuideShift, ranks, k,
              [n](uint64_t word) { return uint32_t((word * n) >> TSD_TAIL_NOISE_BITS) + 1; });
  guided = true;
}

// What one candidate becomes; false where it is rejected.
inline bool Bank::decide(const Candidate &candidate, Drawn *drawn) const {
  const uint64_t low_mask = (uint64_t(1) << TSD_TAIL_NOISE_BITS) - 1;
  const uint64_t product = candidate.tail_word * uint64_t(tail_tokens);
  if (candidate.uniform > uniform_last || (product & low_mask) < tail_reject) return false;
  const uint32_t index = uint32_t(product >> TSD_TAIL_NOISE_BITS);
  const Leaf &found = leaves[count_below(thresholds, width, candidate.uniform)];
  const bool is_tail = &found == &leaves[k];
  *drawn = {found.weight, is_tail ? index + count_below(ranks, width, index + 1) : found.token, found.spread};
  return true;
}

// n draws of one lane, written TSD_LANES apart.
template <bool kGuided>
inline void Bank::draw(Lane *lane, uint64_t n, uint32_t *tokens, uint64_t *out_weights, uint32_t *spreads) const {
  const uint64_t last = uniform_last, low_mask = (uint64_t(1) << TSD_TAIL_NOISE_BITS) - 1;
  const uint64_t reject = tail_reject, tail_count = tail_tokens;
  const uint32_t tail_leaf = k, search_width = width;
  uint64_t done = 0;
  while (done < n) {
    if (lane->position == kBlockCandidates) lane->refill();
    uint64_t end = lane->position + (n - done);
    if (end > kBlockCandidates) end = kBlockCandidates;
    for (uint64_t at = lane->position; at < end; at++) {
      const Candidate candidate = cut_candidate(&lane->block[at]);
      const uint64_t product = candidate.tail_word * tail_count;
      if (__builtin_expect((candidate.uniform > last) | ((product & low_mask) < reject), 0)) continue;
      const uint32_t beyond = uint32_t(product >> TSD_TAIL_NOISE_BITS) + 1;  // r + 1
      uint32_t leaf, rank;
      if (kGuided) {
        leaf = head_guide[candidate.uniform >> kHeadGuideShift];
        rank = tail_guide[candidate.tail_word >> kTailGuideShift];
        if (__builtin_expect((leaf | rank) & kCrowded, 0)) {
          leaf = count_below(thresholds, search_width, candidate.uniform);
          rank = count_below(ranks, search_width, beyond);
        } else {
          leaf += thresholds[leaf] < candidate.uniform;
          rank += ranks[rank] < beyond;
        }
      } else {
        leaf = count_below(thresholds, search_width, candidate.uniform);
        rank = count_below(ranks, search_width, beyond);
      }
      const Leaf found = leaves[leaf];
      const uint64_t slot = done * TSD_LANES;
      tokens[slot] = found.token + (-uint32_t(leaf == tail_leaf) & (beyond - 1 + rank));
      out_weights[slot] = found.weight;
      spreads[slot] = found.spread;
      done++;
    }
    lane->position = uint32_t(end);
  }
}

}  // namespace tsd
