// Steps whose codes were expanded, for many tokens.

#ifndef MOED_TILES_H
#define MOED_TILES_H

#include "steps.h"

enum {
    /// Codes of a group that a step has when they are expanded.
    step_bytes_of_group = step_panels * 256,
    /// Groups in a tile: 16 KiB of codes, so that the first cache has room for a block of tokens, too. More columns are
    /// several tiles, one after the other.
    tile_groups = 64 / step_panels / tile_steps,
};

/// As many groups of up to `tile_steps` steps, in the form that `expand_group` gives them: [groups, steps].
typedef struct {
    _Alignas(64) int8_t codes[tile_groups * tile_steps * step_bytes_of_group];
    row_floats scales[tile_groups * tile_steps];
} tile;

#endif
