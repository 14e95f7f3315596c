// Counts what a program allocates and retains. Linking this replaces the C library's allocator by one that counts.

#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

/// Calls of malloc and its relatives so far, by all threads.
int64_t allocation_count(void);

/// Calls of swift_retain by all threads, while they were counted.
int64_t retain_count(void);

/// Begins or stops to count retains, by the hook that the Swift runtime has for tools.
void count_retains(bool are_counted);

#endif
