// SPDX-License-Identifier: Apache-2.0
// Counting loops of the noise battery: bit correlations, GF(2) rank, Berlekamp-Massey, FIPS 140-2.
// Plain functions over arrays; sim/noise/kernel.py owns the arrays and says what they mean.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

static const unsigned WORD_BITS = 32;

// Bits of 64 words as 32 rows: bit t of row b is bit b of word t.
static void transpose64(const uint32_t *words, uint64_t *rows, size_t row_stride) {
    uint32_t half[2][WORD_BITS];
    for (unsigned h = 0; h < 2; ++h) {
        uint32_t *a = half[h];
        std::memcpy(a, words + WORD_BITS * h, sizeof half[h]);
        uint32_t mask = 0x0000FFFFu;
        for (unsigned width = 16; width != 0; width >>= 1, mask ^= mask << width) {
            for (unsigned k = 0; k < WORD_BITS; k = (k + width + 1) & ~width) {
                const uint32_t swap = (a[k] >> width ^ a[k + width]) & mask;
                a[k] ^= swap << width;
                a[k + width] ^= swap;
            }
        }
    }
    for (unsigned b = 0; b < WORD_BITS; ++b) rows[b * row_stride] = half[0][b] | uint64_t(half[1][b]) << 32;
}

// disagree[i][j] += number of set bits of x_i ^ y_j, over `blocks` 64-bit blocks.
static void count_pairs(const uint64_t *x, size_t x_stride, const uint64_t *y, size_t y_stride, size_t blocks,
                        uint64_t *disagree) {
    for (unsigned i = 0; i < WORD_BITS; ++i) {
        for (unsigned j = 0; j < WORD_BITS; j += 4) {
            const uint64_t *a = x + i * x_stride;
            const uint64_t *b0 = y + j * y_stride, *b1 = b0 + y_stride, *b2 = b1 + y_stride, *b3 = b2 + y_stride;
            uint64_t n0 = 0, n1 = 0, n2 = 0, n3 = 0;
            for (size_t k = 0; k < blocks; ++k) {
                n0 += __builtin_popcountll(a[k] ^ b0[k]);
                n1 += __builtin_popcountll(a[k] ^ b1[k]);
                n2 += __builtin_popcountll(a[k] ^ b2[k]);
                n3 += __builtin_popcountll(a[k] ^ b3[k]);
            }
            uint64_t *out = disagree + i * WORD_BITS + j;
            out[0] += n0;
            out[1] += n1;
            out[2] += n2;
            out[3] += n3;
        }
    }
}

// Adds one chunk of words to the counts.
//   words       [streams][64 * (history + blocks)]: the first 64 * history of a stream precede the chunk
//   lags        [n_lags], each at most 64 * history
//   pairs       [n_pairs][2] streams
//   ones        [streams][32]             set bits of the chunk
//   lag_counts  [n_lags][32][32]          bit i of a word against bit j of the word `lag` before it; all streams
//   pair_counts [n_pairs][32][32]         bit i of one stream against bit j of the other, same cycle
EXPORT void battery_correlate(const uint32_t *words, uint32_t streams, uint32_t history, uint32_t blocks,
                              const uint32_t *lags, uint32_t n_lags, const uint32_t *pairs, uint32_t n_pairs,
                              uint64_t *ones, uint64_t *lag_counts, uint64_t *pair_counts) {
    const size_t stride = history + blocks, stream_rows = WORD_BITS * stride;
    std::vector<uint64_t> rows(streams * stream_rows), late(WORD_BITS * size_t(blocks));
    for (uint32_t s = 0; s < streams; ++s) {
        for (size_t k = 0; k < stride; ++k) {
            transpose64(words + (s * stride + k) * 64, rows.data() + s * stream_rows + k, stride);
        }
    }
    for (uint32_t s = 0; s < streams; ++s) {
        const uint64_t *row = rows.data() + s * stream_rows;
        for (unsigned b = 0; b < WORD_BITS; ++b) {
            for (size_t k = 0; k < blocks; ++k) {
                ones[s * WORD_BITS + b] += __builtin_popcountll(row[b * stride + history + k]);
            }
        }
        for (uint32_t n = 0; n < n_lags; ++n) {
            const size_t whole = lags[n] / 64, part = lags[n] % 64;
            for (unsigned b = 0; b < WORD_BITS; ++b) {
                const uint64_t *from = row + b * stride + history - whole;
                for (size_t k = 0; k < blocks; ++k) {
                    late[b * blocks + k] = part ? from[k] << part | from[k - 1] >> (64 - part) : from[k];
                }
            }
            count_pairs(row + history, stride, late.data(), blocks, blocks, lag_counts + n * WORD_BITS * WORD_BITS);
        }
    }
    for (uint32_t n = 0; n < n_pairs; ++n) {
        const uint64_t *a = rows.data() + pairs[2 * n] * stream_rows + history;
        const uint64_t *b = rows.data() + pairs[2 * n + 1] * stream_rows + history;
        count_pairs(a, stride, b, stride, blocks, pair_counts + n * WORD_BITS * WORD_BITS);
    }
}

// Rank over GF(2) of the first `upto[m]` rows, for each m; `upto` increases. Rows are `row_words` words of 64 columns
// and are destroyed. Row by row: every earlier pivot whose column is set is added, then the lowest column that is left
// becomes the pivot of this row.
EXPORT void battery_rank(uint64_t *rows, uint32_t row_words, const uint32_t *upto, uint32_t n_upto, uint32_t *ranks) {
    std::vector<const uint64_t *> pivots(size_t(row_words) * 64, nullptr);
    uint32_t rank = 0, r = 0;
    for (uint32_t m = 0; m < n_upto; ++m) {
        for (; r < upto[m]; ++r) {
            uint64_t *row = rows + size_t(r) * row_words;
            for (uint32_t w = 0; w < row_words; ++w) {
                bool kept = false;
                while (row[w] != 0) {
                    const size_t column = size_t(w) * 64 + __builtin_ctzll(row[w]);
                    const uint64_t *pivot = pivots[column];
                    if (pivot == nullptr) {
                        pivots[column] = row;
                        ++rank;
                        kept = true;
                        break;
                    }
                    for (uint32_t k = w; k < row_words; ++k) row[k] ^= pivot[k];
                }
                if (kept) break;
            }
        }
        ranks[m] = rank;
    }
}

// 64 bits of `bits` from any bit offset on; `bits` has one word more than it needs.
static inline uint64_t window(const uint64_t *bits, size_t offset) {
    const size_t word = offset / 64, part = offset % 64;
    return part ? bits[word] >> part | bits[word + 1] << (64 - part) : bits[word];
}

// Berlekamp-Massey over GF(2): shortest linear recurrence of each prefix of n bits (bit t in bit t % 64 of word
// t / 64). Returns its length for the whole, and in `jumps` how often it grew on the way. Massey 1969.
EXPORT uint32_t battery_linear_complexity(const uint64_t *bits, uint32_t n, uint32_t *jumps) {
    const size_t words = n / 64 + 2;
    std::vector<uint64_t> reversed(2 * words, 0), connection(words, 0), previous(words, 0), saved(words, 0);
    for (uint32_t t = 0; t < n; ++t) {
        const uint32_t at = n - 1 - t;
        reversed[at / 64] |= (bits[t / 64] >> (t % 64) & 1) << (at % 64);
    }
    connection[0] = previous[0] = 1;
    uint32_t length = 0, gap = 1, previous_length = 0;
    *jumps = 0;
    for (uint32_t t = 0; t < n; ++t, ++gap) {
        // sum over i <= length of c_i s_(t - i); in `reversed` s_(t - i) is bit (n - 1 - t) + i.
        uint64_t sum = 0;
        const size_t used = length / 64 + 1;
        for (size_t k = 0; k < used; ++k) sum ^= connection[k] & window(reversed.data(), n - 1 - t + 64 * k);
        if (!(__builtin_popcountll(sum) & 1)) continue;
        const bool grows = 2 * length <= t;
        if (grows) std::copy_n(connection.begin(), used, saved.begin());
        const size_t whole = gap / 64, part = gap % 64, terms = previous_length / 64 + 1;
        for (size_t k = 0; k < terms; ++k) {
            connection[k + whole] ^= previous[k] << part;
            if (part && k + whole + 1 < words) connection[k + whole + 1] ^= previous[k] >> (64 - part);
        }
        if (grows) {
            previous_length = length;
            length = t + 1 - length;
            previous.swap(saved);
            gap = 0;
            ++*jumps;
        }
    }
    return length;
}

// FIPS 140-2 (errata of 2001-10-10) on blocks of 20,000 bits: 625 words, each from its highest bit down.
// failures[0..4] count the blocks that fail monobit, poker, runs, long run, and any of them.
EXPORT void battery_fips(const uint32_t *words, uint64_t blocks, uint64_t *failures) {
    static const unsigned BLOCK_WORDS = 625, LONG_RUN = 26, KINDS = 6;
    static const unsigned LOW[KINDS] = {2315, 1114, 527, 240, 103, 103};
    static const unsigned HIGH[KINDS] = {2685, 1386, 723, 384, 209, 209};
    for (uint64_t block = 0; block < blocks; ++block, words += BLOCK_WORDS) {
        unsigned ones = 0, nibbles[16] = {}, runs[2][KINDS] = {}, run = 0, last = 2;
        bool long_run = false;
        const auto end_run = [&] {
            if (run != 0) ++runs[last][std::min(run, KINDS) - 1];
            long_run |= run >= LONG_RUN;
        };
        for (unsigned w = 0; w < BLOCK_WORDS; ++w) {
            ones += __builtin_popcount(words[w]);
            for (unsigned shift = 0; shift < WORD_BITS; shift += 4) ++nibbles[words[w] >> shift & 15];
            for (unsigned b = WORD_BITS; b-- > 0;) {
                const unsigned bit = words[w] >> b & 1;
                if (bit != last) {
                    end_run();
                    last = bit;
                    run = 0;
                }
                ++run;
            }
        }
        end_run();
        double squares = 0;
        for (const unsigned count : nibbles) squares += double(count) * count;
        const double poker = 16.0 / 5000 * squares - 5000;
        bool bad_runs = false;
        for (const auto &side : runs) {
            for (unsigned k = 0; k < KINDS; ++k) bad_runs |= side[k] < LOW[k] || side[k] > HIGH[k];
        }
        const bool bad[4] = {ones <= 9725 || ones >= 10275, poker <= 2.16 || poker >= 46.17, bad_runs, long_run};
        for (unsigned k = 0; k < 4; ++k) failures[k] += bad[k];
        failures[4] += bad[0] || bad[1] || bad[2] || bad[3];
    }
}
