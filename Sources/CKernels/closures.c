#include "closures.h"

/// Swift calls this with a closure for the first two arguments; the closure outlives the call, and so `use`.
__attribute__((swiftcall)) void moed_with_closure(
    const void *code, const void *captures, void *context, void (*use)(moed_closure closure, void *context));

__attribute__((swiftcall)) void moed_with_closure(
    const void *code, const void *captures, void *context, void (*use)(moed_closure closure, void *context)) {
    use((moed_closure){code, captures}, context);
}
