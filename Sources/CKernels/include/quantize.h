// The search for a group's scale, which only the quantiser needs.

#ifndef MOED_QUANTIZE_H
#define MOED_QUANTIZE_H

#include <stdint.h>

/// Finds scales and codes with a small squared error for the 32 floats at `x + row · row_stride`, rows 0 ..< `rows`
/// (at most 8). Every value must be finite. `format` is moed_q8 or moed_q4.
///
/// - scales: an f16 a row, `scale_stride` apart
/// - codes: 32 a row, rows `code_stride` apart: q8 values or q4 indices into the linear table
/// - error, energy: Σ (x − code · scale)² and Σ x² over the group, one a row
///
/// Returns 0, or 1 if a value is too large for an f16 scale. The result is the same on every processor.
int32_t moed_quantize_group(
    uint8_t format, const float *x, int64_t row_stride, int64_t rows, uint16_t *scales, int64_t scale_stride,
    uint8_t *codes, int64_t code_stride, float *error, float *energy);

#endif
