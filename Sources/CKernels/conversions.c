#include "CKernels.h"
#include "numbers.h"

void moed_f16_to_f32(const uint16_t *x, int64_t count, float *y) {
    for (int64_t i = 0; i < count; i++) y[i] = f16_to_f32(x[i]);
}

void moed_f32_to_f16(const float *x, int64_t count, uint16_t *y) {
    for (int64_t i = 0; i < count; i++) y[i] = f32_to_f16(x[i]);
}

void moed_bf16_to_f32(const uint16_t *x, int64_t count, float *y) {
    for (int64_t i = 0; i < count; i++) y[i] = bf16_to_f32(x[i]);
}

void moed_f32_to_bf16(const float *x, int64_t count, uint16_t *y) {
    for (int64_t i = 0; i < count; i++) y[i] = f32_to_bf16(x[i]);
}

void moed_f8e4m3_to_f32(const uint8_t *x, int64_t count, float *y) {
    for (int64_t i = 0; i < count; i++) y[i] = f8e4m3_to_f32(x[i]);
}
