/* SPDX-License-Identifier: Apache-2.0 */
/* C interface of a bit-true TSU in process: the RTL in each simulator and the compiled model offer the same one.
 *
 * A device executes the 32-bit command words of hw/spec/commands.py, one command at a time, and delivers draws. Of a TSU
 * of several groups it hands them on in the order of the commands too, and it needs no tags for that.
 * The caller takes the draws of a command before it gives one that would need them gone (see tsd_command).
 * A device is used by one thread at a time; devices share nothing.
 */
#ifndef TSD_ABI_H
#define TSD_ABI_H

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define TSD_EXPORT __attribute__((visibility("default")))

typedef struct tsd_device tsd_device;

/* A new device, reset: no table, no psi, the noise of seed 0. NULL when memory is short. */
TSD_EXPORT tsd_device *tsd_open(void);

/* Release a device; NULL is allowed. */
TSD_EXPORT void tsd_close(tsd_device *device);

/* Digest of layouts and configuration (hw/spec/digest.py), as the device reports it. */
TSD_EXPORT uint64_t tsd_spec_id(tsd_device *device);

/* Clock cycles since tsd_open; 0 for a device without a clock. */
TSD_EXPORT uint64_t tsd_cycles(tsd_device *device);

/* Give one command of n words, the last one marked as last, and wait for its status.
 *
 * status   Status of hw/spec/commands.py; anything but 0 delivers no draw
 * total    Z of the psi for LOAD and DRAW that succeed, else 0
 *
 * Returns 0, or -1 when max_cycles passed without an answer. Two psi fit each group: -1 also follows when a LOAD needs
 * the bank of a psi, or a SEED the noise, that draws still wait for. */
TSD_EXPORT int tsd_command(tsd_device *device, const uint32_t *words, uint32_t n, uint64_t max_cycles, uint32_t *status,
                           uint64_t *total);

/* Take n draws that LOAD and DRAW commands have asked for, in their order.
 *
 * tokens, weights, spreads   arrays of n; draw i has probability weights[i] / (total * spreads[i])
 *
 * Returns the draws written: fewer than n when max_cycles passed, or when fewer were asked for. */
TSD_EXPORT uint64_t tsd_draws(tsd_device *device, uint64_t n, uint32_t *tokens, uint64_t *weights, uint32_t *spreads,
                              uint64_t max_cycles);

/* Take the tokens of the BLOCK given last, whose streams and length these are; only of a device with contexts.
 *
 * tokens, weights, spreads   arrays of streams x length, a row for each stream
 * lengths                    array of streams: tokens of each, fewer than `length` where it ended early; the rest of its
 *                            row is left as it was
 *
 * A BLOCK needs an idle device: tsd_command returns -1 while draws asked for before have not been taken, and for every
 * command while the tokens of a BLOCK have not been taken.
 *
 * Returns the streams that have ended: fewer than `streams` when max_cycles passed, or when there is no such BLOCK. */
TSD_EXPORT uint32_t tsd_blocks(tsd_device *device, uint32_t streams, uint32_t length, uint32_t *tokens, uint64_t *weights,
                               uint32_t *spreads, uint32_t *lengths, uint64_t max_cycles);

/* Alarms of the noise's health tests that the calls so far have raised: a bit for each Alarm of hw/spec/registers.py.
 *
 * lanes   array of TSD_ALARMS; where the result is not 0, element a is the mask of the lanes that raise alarm a
 *
 * Always 0 for a device without such tests. */
TSD_EXPORT uint32_t tsd_health(tsd_device *device, uint32_t *lanes);

/* Why the last call fell short: one line of static text, never NULL. */
TSD_EXPORT const char *tsd_message(tsd_device *device);

#if defined(__cplusplus)
}
#endif

#endif
