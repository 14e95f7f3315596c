// x86-64 with AVX-512 F, BW, VL and VNNI (and F16C).

#if defined(__x86_64__)

#include "CKernels.h"
#include "numbers.h"
#include "spend_multiply_adds.h"
#include "steps.h"
#include "vectors.h"
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)

#include "lanes_avx512.h"
#include "steps_avx512.h"

enum { block_tokens = 8, tile_least_tokens = 16 };

typedef __m512i step_bytes;
typedef __m512i step_table;

INLINE __m512i bytes_of(char value) { return _mm512_set1_epi8(value); }
INLINE __m512i words_of(int32_t value) { return _mm512_set1_epi32(value); }
INLINE __m512i and_bytes(__m512i a, __m512i b) { return _mm512_and_si512(a, b); }
INLINE __m512i xor_bytes(__m512i a, __m512i b) { return _mm512_xor_si512(a, b); }
INLINE __m512i look_up(__m512i table, __m512i index) { return _mm512_shuffle_epi8(table, index); }
INLINE __m512i add_words(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
INLINE __m512i sixteenth(__m512i a) { return _mm512_srai_epi32(a, 4); }
INLINE __m512i add_products(__m512i sum, __m512i weights, __m512i input) {
    return _mm512_dpbusd_epi32(sum, weights, input);
}
INLINE __m512i load_tile_line(const int8_t *p) { return _mm512_load_si512(p); }
INLINE void store_tile_line(int8_t *p, __m512i line) { _mm512_store_si512(p, line); }

#include "products_vnni.h"

#include "kernels_quantized.h"

DEFINE_SPEND_MULTIPLY_ADDS(__m512i, __m512i, "v", _mm512_set1_epi8, _mm512_dpbusd_epi32, 64)

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_avx512vnni = KERNEL_TABLE("avx512vnni");

#pragma clang attribute pop

#endif
