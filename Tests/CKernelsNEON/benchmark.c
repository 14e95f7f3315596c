// How fast the products are on this processor, on one core. By hand:
//
//     clang -std=gnu17 -O3 -ffp-contract=off -ISources/CKernels/include Sources/CKernels/kernels*.c
//         Sources/CKernels/conversions.c Tests/CKernelsNEON/benchmark.c -lm -o benchmark && ./benchmark

#include "CKernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void *allocate(int64_t byte_count) {
    void *memory = aligned_alloc(64, (size_t)((byte_count + 63) / 64 * 64));
    if (memory == NULL) exit(2);
    return memory;
}

/// The best of seven rounds over `copies` matrices of their own, so that many copies come from memory.
static void measure(
    const moed_kernels *kernels, int format, int table, int64_t rows, int64_t columns, int64_t tokens, int64_t copies) {
    int64_t groups = columns / 32, code_offset = 0;
    int64_t stride = columns * 8 * (format == moed_f32 ? 4 : 2);
    if (format == moed_q8 || format == moed_q4) {
        code_offset = (groups * 16 + 63) / 64 * 64;
        stride = code_offset + columns * (format == moed_q8 ? 8 : 4);
    }
    int64_t byte_count = stride * ((rows + 7) / 8);
    uint8_t *base = allocate(byte_count * copies);
    // Ordinary numbers as f16, bf16 and f32, and any codes.
    for (int64_t i = 0; i < byte_count * copies; i += 2) {
        uint16_t value = (uint16_t)(0x3c00 | (rand() & 0x81ff));
        memcpy(base + i, &value, sizeof value);
    }
    float *x = allocate(tokens * columns * 4), *y = allocate(tokens * rows * 4);
    for (int64_t i = 0; i < tokens * columns; i++) x[i] = (float)(rand() % 2001 - 1000);
    int8_t *codes = allocate(tokens * columns);
    float *scales = allocate(tokens * groups * 4);
    int32_t *sums = allocate(tokens * groups * 4);
    for (int64_t t = 0; t < tokens; t++) {
        kernels->quantize(x + t * columns, columns, codes + t * columns, scales + t * groups, sums + t * groups);
    }
    moed_activations inputs = {x, columns, codes, columns, scales, sums, groups};
    double best = 1e9;
    for (int round = 0; round < 7; round++) {
        double start = seconds();
        int64_t calls = 0;
        while (seconds() - start < 0.05) {
            for (int64_t i = 0; i < copies; i++, calls++) {
                moed_matrix w = {base + i * byte_count, stride, code_offset, rows, columns, (uint8_t)format,
                                 moed_panels, (uint8_t)table};
                kernels->multiply(&w, &inputs, (moed_range){0, (rows + 7) / 8}, (moed_range){0, tokens}, y, rows);
            }
        }
        double each = (seconds() - start) / (double)calls;
        if (each < best) best = each;
    }
    static const char *const names[] = {"", "f32", "bf16", "f16", "q8", "q4"};
    printf(
        "%-12s %-4s table %d  %5lld x %-5lld %3lld tokens  %-9s %9.2f us %7.2f GB/s %8.2f GMAC/s\n", kernels->name,
        names[format], table, (long long)rows, (long long)columns, (long long)tokens,
        copies > 1 ? "memory" : "cache", best * 1e6, (double)byte_count / best * 1e-9,
        (double)(rows * columns * tokens) / best * 1e-9);
    free(base);
    free(x);
    free(y);
    free(codes);
    free(scales);
    free(sums);
}

int main(void) {
    static const int encodings[][2] = {{moed_bf16, 0}, {moed_q8, 0}, {moed_q4, 0}, {moed_q4, 1}};
    for (int32_t i = 0; i < moed_kernels_count(); i++) {
        const moed_kernels *kernels = moed_kernels_at(i);
        for (int e = 0; e < 4; e++) {
            measure(kernels, encodings[e][0], encodings[e][1], 64, 256, 1, 1);
            measure(kernels, encodings[e][0], encodings[e][1], 1408, 2048, 1, 1);
            measure(kernels, encodings[e][0], encodings[e][1], 1408, 2048, 1, 48);
            if (i > 0) measure(kernels, encodings[e][0], encodings[e][1], 1408, 2048, 64, 1);
        }
    }
}
