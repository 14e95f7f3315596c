/*
 * A library for LD_PRELOAD that makes a call to the operating system fail, fall short or be the process's last.
 *
 *     FAULT_PATH    only files whose path contains this count
 *     FAULT         KIND:N:ACTION: the N-th call (from 1) of KIND; with N+, that one and all after it
 *     FAULT_REPORT  a file that gets the number of calls of each kind at the end, a line each: KIND COUNT
 *     FAULT_CONTROL a file that may come and go while the process runs, of lines FROM TO ACTION, about positioned reads of any
 *                   byte in FROM ..< TO. ACTION is the number of an errno, or sleep:MILLISECONDS, after which the read is
 *                   done, or hold, which does it once the file doesn't say so any more
 *
 * Kinds: open, read, write, sync, truncate, rename (link and unlink as well), and any.
 * Actions: kill (before the call), tear (after half of a transfer, or after any other call), short (half of a transfer
 * is done), end (a read finds the end of the file), or the number of an errno.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum kind { OPEN, READ, WRITE, SYNC, TRUNCATE, RENAME, ANY, KINDS };
static const char *const names[KINDS] = { "open", "read", "write", "sync", "truncate", "rename", "any" };

enum action { NONE, FAIL, TEAR, SHORT, END };

static atomic_long counts[KINDS];
static atomic_bool tracked[4096];
static int fault_kind = -1, fault_errno;
static long fault_number;
static int is_sticky;
static enum action fault_action;
static int is_kill;
static const char *fault_path;

__attribute__((constructor)) static void start(void) {
    fault_path = getenv("FAULT_PATH");
    const char *fault = getenv("FAULT");
    char kind[16], number[32], action[16];
    if (!fault || sscanf(fault, "%15[^:]:%31[^:]:%15s", kind, number, action) != 3) return;
    fault_number = atol(number);
    is_sticky = strchr(number, '+') != NULL;
    is_kill = strcmp(action, "kill") == 0;
    fault_action = strcmp(action, "tear") == 0    ? TEAR
                   : strcmp(action, "short") == 0 ? SHORT
                   : strcmp(action, "end") == 0   ? END
                                                  : FAIL;
    fault_errno = atoi(action);
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kind, names[i]) == 0) fault_kind = i;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAULT_REPORT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    for (int i = 0; i < KINDS; i++) fprintf(file, "%s %ld\n", names[i], atomic_load(&counts[i]));
    fclose(file);
}

/* Counts a call, and says what is to happen to it. */
static enum action next(enum kind kind) {
    long own = atomic_fetch_add(&counts[kind], 1) + 1;
    long all = atomic_fetch_add(&counts[ANY], 1) + 1;
    long number = fault_kind == ANY ? all : own;
    if (fault_kind != ANY && fault_kind != (int)kind) return NONE;
    if (number < fault_number || (number > fault_number && !is_sticky)) return NONE;
    if (is_kill) raise(SIGKILL);
    if (fault_action == FAIL) errno = fault_errno;
    return fault_action;
}

static int is_path(const char *path) { return fault_path && strstr(path, fault_path) != NULL; }
static int is_tracked(int fd) { return fd >= 0 && fd < 4096 && atomic_load(&tracked[fd]); }

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* A call that can't be done by halves. */
#define WHOLE(kind, call) \
    switch (next(kind)) { \
    case FAIL: return -1; \
    case TEAR: \
        (void)call; \
        raise(SIGKILL); \
        return -1; \
    default: break; \
    } \
    return call

static int opened(int fd) {
    if (fd >= 0 && fd < 4096) atomic_store(&tracked[fd], 1);
    return fd;
}

#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

#define OPEN_LIKE(name) \
    int name(const char *path, int flags, ...) { \
        MODE \
        REAL(int, #name, const char *, int, ...); \
        if (!is_path(path)) return real(path, flags, mode); \
        WHOLE(OPEN, opened(real(path, flags, mode))); \
    }
OPEN_LIKE(open)
OPEN_LIKE(open64)

#define OPENAT_LIKE(name) \
    int name(int directory, const char *path, int flags, ...) { \
        MODE \
        REAL(int, #name, int, const char *, int, ...); \
        if (!is_path(path)) return real(directory, path, flags, mode); \
        WHOLE(OPEN, opened(real(directory, path, flags, mode))); \
    }
OPENAT_LIKE(openat)
OPENAT_LIKE(openat64)

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < 4096) atomic_store(&tracked[fd], 0);
    return real(fd);
}

/* Finds the action that FAULT_CONTROL has for a read. */
static int find_action(off_t offset, size_t count, char action[32]) {
    const char *path = getenv("FAULT_CONTROL");
    if (!path) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[1024] = "", *rest;
    long length = syscall(SYS_read, file, text, sizeof text - 1), from, to;
    syscall(SYS_close, file);
    if (length <= 0) return 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (sscanf(line, "%ld %ld %31s", &from, &to, action) != 3) continue;
        if (offset + (off_t)count > from && offset < to) return 1;
    }
    return 0;
}

static void wait_for(long milliseconds) {
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

/* What FAULT_CONTROL says of a read: the number of an errno, or 0 to do it. */
static int controlled(off_t offset, size_t count) {
    char action[32];
    while (find_action(offset, count, action)) {
        if (strcmp(action, "hold") == 0) {
            wait_for(10);
            continue;
        }
        if (strncmp(action, "sleep:", 6) != 0) return atoi(action);
        wait_for(atol(action + 6));
        return 0;
    }
    return 0;
}

static size_t half(size_t count) { return count > 1 ? count / 2 : count; }

#define TRANSFER(kind, call, half_call) \
    switch (next(kind)) { \
    case FAIL: return -1; \
    case END: return 0; \
    case SHORT: return half_call; \
    case TEAR: \
        (void)!half_call; \
        raise(SIGKILL); \
        return -1; \
    case NONE: break; \
    } \
    return call

#define POSITIONED(name, buffer_type, kind) \
    ssize_t name(int fd, buffer_type buffer, size_t count, off_t offset) { \
        REAL(ssize_t, #name, int, buffer_type, size_t, off_t); \
        if (!is_tracked(fd)) return real(fd, buffer, count, offset); \
        int failure = kind == READ ? controlled(offset, count) : 0; \
        if (failure != 0) { \
            errno = failure; \
            return -1; \
        } \
        TRANSFER(kind, real(fd, buffer, count, offset), real(fd, buffer, half(count), offset)); \
    }
POSITIONED(pread, void *, READ)
POSITIONED(pread64, void *, READ)
POSITIONED(pwrite, const void *, WRITE)
POSITIONED(pwrite64, const void *, WRITE)

#define SEQUENTIAL(name, buffer_type, kind) \
    ssize_t name(int fd, buffer_type buffer, size_t count) { \
        REAL(ssize_t, #name, int, buffer_type, size_t); \
        if (!is_tracked(fd)) return real(fd, buffer, count); \
        TRANSFER(kind, real(fd, buffer, count), real(fd, buffer, half(count))); \
    }
SEQUENTIAL(read, void *, READ)
SEQUENTIAL(write, const void *, WRITE)

#define SYNC_LIKE(name) \
    int name(int fd) { \
        REAL(int, #name, int); \
        if (!is_tracked(fd)) return real(fd); \
        WHOLE(SYNC, real(fd)); \
    }
SYNC_LIKE(fsync)
SYNC_LIKE(fdatasync)

#define TRUNCATE_LIKE(name) \
    int name(int fd, off_t length) { \
        REAL(int, #name, int, off_t); \
        if (!is_tracked(fd)) return real(fd, length); \
        WHOLE(TRUNCATE, real(fd, length)); \
    }
TRUNCATE_LIKE(ftruncate)
TRUNCATE_LIKE(ftruncate64)

#define RENAME_LIKE(name) \
    int name(const char *old, const char *new) { \
        REAL(int, #name, const char *, const char *); \
        if (!is_path(new)) return real(old, new); \
        WHOLE(RENAME, real(old, new)); \
    }
RENAME_LIKE(rename)
RENAME_LIKE(link)

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (!is_path(path)) return real(path);
    WHOLE(RENAME, real(path));
}
