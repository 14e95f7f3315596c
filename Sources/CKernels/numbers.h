// Number formats one value at a time, without any instruction set's help.

#ifndef MOED_NUMBERS_H
#define MOED_NUMBERS_H

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE uint32_t load_u32(const void *p) {
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

INLINE float bf16_to_f32(uint16_t x) { return float_of((uint32_t)x << 16); }

INLINE uint16_t f32_to_bf16(float x) {
    uint32_t bits = bits_of(x);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

// Branch-free, so that loops over it become vector code. Multiplying by 2^112 moves the exponent's bias and
// normalises subnormals, exactly.
INLINE float f16_to_f32(uint16_t x) {
    uint32_t magnitude = (uint32_t)(x & 0x7fff) << 13;
    uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);
    uint32_t special = magnitude | 0x7f800000 | (magnitude > 0x0f800000 ? 0x400000 : 0);
    return float_of((magnitude >= 0x0f800000 ? special : finite) | (uint32_t)(x & 0x8000) << 16);
}

INLINE float scale_to_f32(uint16_t x, int is_bf16) { return is_bf16 ? bf16_to_f32(x) : f16_to_f32(x); }

INLINE uint16_t f32_to_f16(float x) {
    uint32_t bits = bits_of(x);
    uint32_t magnitude = bits & 0x7fffffff;
    // Adding 0.5 lets the adder round a subnormal result: its last bit is 2^-24.
    uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000;
    uint32_t normal = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    uint32_t result = magnitude < 0x38800000 ? subnormal : normal;
    result = magnitude >= 0x477ff000 ? 0x7c00 : result;
    result = magnitude > 0x7f800000 ? 0x7e00 : result;
    return (uint16_t)(result | (bits >> 16 & 0x8000));
}

INLINE float f8e4m3_to_f32(uint8_t x) {
    uint32_t magnitude = (uint32_t)(x & 0x7f) << 20;
    uint32_t finite = bits_of(float_of(magnitude) * 0x1p120f);
    return float_of(((x & 0x7f) == 0x7f ? 0x7fc00000 : finite) | (uint32_t)(x & 0x80) << 24);
}

#endif
