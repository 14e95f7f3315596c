#include "CAllocations.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static _Atomic int64_t allocations, retains;

int64_t allocation_count(void) { return atomic_load(&allocations); }
int64_t retain_count(void) { return atomic_load(&retains); }

static void count(_Atomic int64_t *counter) { atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); }

// The C library's own allocator under its other names.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    count(&allocations);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(&allocations);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count(&allocations);
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    count(&allocations);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    *result = memalign(alignment, size);
    return *result == NULL ? ENOMEM : 0;
}

// The runtime's functions go through these pointers while the switch is on. Short strings must not be retained then:
// the runtime takes their bytes for an address.
extern void *(*_swift_retain)(void *object);
extern void *(*_swift_retain_n)(void *object, uint32_t number);
extern atomic_bool _swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly;

static void *(*next_retain)(void *object);
static void *(*next_retain_n)(void *object, uint32_t number);

static void *counting_retain(void *object) {
    count(&retains);
    return next_retain(object);
}

static void *counting_retain_n(void *object, uint32_t number) {
    count(&retains);
    return next_retain_n(object, number);
}

void count_retains(bool are_counted) {
    if (next_retain == NULL) {
        next_retain = _swift_retain;
        next_retain_n = _swift_retain_n;
        _swift_retain = counting_retain;
        _swift_retain_n = counting_retain_n;
    }
    atomic_store(&_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly, are_counted);
}
