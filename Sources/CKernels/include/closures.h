// A Swift closure in two words, so that threads can share one that stands on its caller's stack.
//
// Swift has no type for it: a closure that doesn't escape can't be stored, and one that escapes is allocated and counted.
// The convention is `docs/ABI/CallingConvention.rst` of the Swift project, which clang knows as `swiftcall`.

#ifndef MOED_CLOSURES_H
#define MOED_CLOSURES_H

#include <stdint.h>

/// A `(Int) -> Void`: its code and what it captured.
typedef struct moed_closure {
    const void *code;
    const void *captures;
} moed_closure;

/// Calls the closure.
static inline void moed_closure_call(moed_closure closure, intptr_t argument) {
    typedef __attribute__((swiftcall)) void function(intptr_t, __attribute__((swift_context)) const void *);
    ((function *)closure.code)(argument, closure.captures);
}

#endif
