// Steps whose codes were expanded, for many tokens.

#ifndef MOED_TILES_H
#define MOED_TILES_H

#include "steps.h"

enum {
    /// Groups in a tile: 16 KiB of codes, so that the first cache has room for a block of tokens, too. More columns are
    /// several tiles, one after the other.
    tile_groups = 64 / step_panels,
};

/// As many groups of a step, in the form that `expand_group` gives them.
typedef struct {
    _Alignas(64) int8_t codes[tile_groups * step_panels * 256];
    row_floats scales[tile_groups];
} tile;

#endif
