// A register of floats where one has all 16 lanes. Included by files that have defined `lanes`.

#ifndef MOED_FLOATS_ARE_LANES_H
#define MOED_FLOATS_ARE_LANES_H

typedef lanes floats;

enum { floats_count = 16 };

INLINE floats floats_set(float a) { return lanes_set(a); }
INLINE floats floats_load(const float *p) { return lanes_load(p); }
INLINE void floats_store(float *p, floats a) { lanes_store(p, a); }
INLINE floats floats_mul(floats a, floats b) { return lanes_mul(a, b); }
INLINE floats floats_fma(floats a, floats b, floats c) { return lanes_fma(a, b, c); }

#endif
