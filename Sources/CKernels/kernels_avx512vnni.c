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

enum { block_tokens = 8, tile_steps = 2, tile_tokens = 8, tile_least_tokens = 16 };

#include "bytes_avx512.h"
#include "products_vnni.h"
#include "tiles_vnni.h"

#include "kernels_quantized.h"

DEFINE_SPEND_MULTIPLY_ADDS(__m512i, __m512i, "v", _mm512_set1_epi8, _mm512_dpbusd_epi32, 64)

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_avx512vnni = KERNEL_TABLE("avx512vnni", multiply, multiply_gated);

#pragma clang attribute pop

#endif
