/* Faults on order, beneath any process that is started with this library in LD_PRELOAD.
 *
 * METHER_FAULTS names a file that is mapped by every process and written by whoever gives the orders (faults.py has
 * the same layout).  Disk faults strike regular files alone, other than the standard descriptors, each call with the
 * probability that is ordered, in 1/1000.  The clock's offset is added to what CLOCK_REALTIME says, in seconds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct orders {
    volatile int32_t sync_fails;  /* fsync and fdatasync: EIO */
    volatile int32_t full;        /* write: ENOSPC */
    volatile int32_t broken;      /* write: EIO */
    volatile int32_t shortened;   /* write: a part of it only */
    volatile int32_t clock;       /* seconds */
    volatile int32_t struck;      /* how many faults there were */
};

static struct orders none, *orders = &none;
static __thread unsigned seed;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("METHER_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        orders = at;
    close(fd);
}

#define REAL(type, name, ...)                                   \
    static type (*real)(__VA_ARGS__);                           \
    if (!real)                                                  \
        *(void **)&real = dlsym(RTLD_NEXT, name);

static int strikes(int32_t permille, int fd) {
    struct stat about;
    if (permille <= 0)
        return 0;
    if (!seed)
        seed = (unsigned)time(NULL) ^ (unsigned)getpid() << 8 ^ (unsigned)(uintptr_t)&seed;
    if (rand_r(&seed) % 1000 >= permille)
        return 0;
    if (fd < 3 || fstat(fd, &about) || !S_ISREG(about.st_mode))
        return 0;
    __sync_fetch_and_add(&orders->struck, 1);
    return 1;
}

static int write_fault(int fd) {
    if (strikes(orders->full, fd))
        return ENOSPC;
    if (strikes(orders->broken, fd))
        return EIO;
    return 0;
}

#define FAIL(error) \
    do {            \
        errno = error; \
        return -1;  \
    } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t)
    int fault = write_fault(fd);
    if (fault)
        FAIL(fault);
    if (size > 1 && strikes(orders->shortened, fd))
        size /= 2;
    return real(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
    int fault = write_fault(fd);
    if (fault)
        FAIL(fault);
    if (size > 1 && strikes(orders->shortened, fd))
        size /= 2;
    return real(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    int fault = write_fault(fd);
    if (fault)
        FAIL(fault);
    return real(fd, parts, count);
}

int fsync(int fd) {
    REAL(int, "fsync", int)
    if (strikes(orders->sync_fails, fd))
        FAIL(EIO);
    return real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int)
    if (strikes(orders->sync_fails, fd))
        FAIL(EIO);
    return real(fd);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *)
    int result = real(which, now);
    if (!result && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += orders->clock;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where)
        *where = exact.tv_sec;
    return exact.tv_sec;
}
