// SPDX-License-Identifier: Apache-2.0
// Block drafting: docs/DESIGN_TSD.md section 8. Rounds over the streams of one lane, one candidate for each of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "noise.hpp"
#include "sampler.hpp"
#include "tsd_config.h"

namespace tsd {

// A psi for each context; the memory of a slot is made when it is filled for the first time.
struct PsiBank {
  bool loaded[TSD_CONTEXTS] = {};
  std::unique_ptr<Bank> slots[TSD_CONTEXTS];

  void empty(uint32_t slot) { loaded[slot] = false; }
  Bank *memory(uint32_t slot) {
    if (!slots[slot]) slots[slot].reset(new Bank);
    return slots[slot].get();
  }
};

struct Block {
  uint32_t streams = 0, length = 0;  // no streams: there is nothing to take
  uint32_t starts[TSD_STREAMS];      // context that each starts in

  void draw(const PsiBank &bank, Lane *lane, uint32_t number, uint32_t *tokens, uint64_t *weights, uint32_t *spreads,
            uint32_t *lengths) const;
};

// All tokens of the streams number, number + lanes, ... from the noise of that lane. Rows of `length`.
inline void Block::draw(const PsiBank &bank, Lane *lane, uint32_t number, uint32_t *tokens, uint64_t *weights,
                        uint32_t *spreads, uint32_t *lengths) const {
  uint32_t going[TSD_STREAMS], context[TSD_STREAMS], count = 0;
  for (uint32_t stream = number; stream < streams; stream += TSD_LANES) {
    going[count] = stream;
    context[count++] = starts[stream];
    lengths[stream] = 0;
  }
  while (count) {
    uint32_t kept = 0;
    for (uint32_t turn = 0; turn < count; turn++) {
      const uint32_t stream = going[turn];
      uint32_t next = context[turn];
      Drawn drawn;
      if (bank.slots[next]->decide(cut_candidate(lane->next()), &drawn)) {
        const size_t at = size_t(stream) * length + lengths[stream]++;
        tokens[at] = drawn.token;
        weights[at] = drawn.weight;
        spreads[at] = drawn.spread;
        next = drawn.token;
        if (lengths[stream] == length || next >= TSD_CONTEXTS || !bank.loaded[next]) continue;
      }
      going[kept] = stream;
      context[kept++] = next;
    }
    count = kept;
  }
}

}  // namespace tsd
