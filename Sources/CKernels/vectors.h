// Vectors of 64 bytes that the compiler maps to whatever registers the including file's instruction set has.

#ifndef MOED_VECTORS_H
#define MOED_VECTORS_H

#include <stdint.h>

// Wider than some instruction sets pass in registers; every function that takes one is inlined.
#pragma clang diagnostic ignored "-Wpsabi"

typedef float floats16 __attribute__((ext_vector_type(16)));
typedef int32_t ints16 __attribute__((ext_vector_type(16)));
typedef int16_t words32 __attribute__((ext_vector_type(32)));
typedef int8_t bytes64 __attribute__((ext_vector_type(64)));
typedef uint8_t ubytes64 __attribute__((ext_vector_type(64)));
typedef uint8_t ubytes16 __attribute__((ext_vector_type(16)));

#endif
