#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

/* memfd_create(2), which <sys/mman.h> shows only to who defines _GNU_SOURCE. */
int memfd_create(const char *name, unsigned int flags);
