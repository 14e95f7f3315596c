// The int8 multiply-adds of an entry's own instruction, from registers alone: the machine's limit for its products.

#ifndef MOED_SPEND_MULTIPLY_ADDS_H
#define MOED_SPEND_MULTIPLY_ADDS_H

// `add(sum, weights, input)` does `each` of them; `kept` is the constraint of a vector register. Twelve chains hide the
// latency; the barrier keeps the compiler from computing ahead.
#define DEFINE_SPEND_MULTIPLY_ADDS(words, bytes, kept, bytes_of, add, each) \
    static int64_t spend_multiply_adds(int64_t rounds) { \
        words sums[12] = {0}; \
        bytes weights = bytes_of(3), input = bytes_of(5); \
        for (int64_t round = 0; round < rounds; round++) { \
            for (int i = 0; i < 12; i++) { \
                __asm__ volatile("" : "+" kept(weights)); \
                sums[i] = add(sums[i], weights, input); \
            } \
        } \
        for (int i = 0; i < 12; i++) __asm__ volatile("" : : kept(sums[i])); \
        return rounds * 12 * each; \
    }

#endif
