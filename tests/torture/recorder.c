/* Writes down what any number of processes do to the files under one directory, in one order.
 *
 * METHER_JOURNAL is the journal, METHER_JOURNAL_ROOT the directory, both absolute.  Each call is made and written down
 * under a mutex that all processes share, so that the journal's order is the order of the calls.  Syncs are only
 * written down: the machine does not really lose its power.  What is mapped (SQLite's -shm) is not seen, and means
 * nothing after a restart.
 *
 * A record: its length (4 octets, the rest of it), kind (1), inode (8), offset or size (8), length of the path (4), the path,
 * and data to the end.  powercut_load.py reads it, and says what the kinds are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int journal = -1;
static char root[PATH_MAX];
static size_t root_length;
static pthread_mutex_t *mutex;

#define REAL(type, name, ...)            \
    static type (*real)(__VA_ARGS__);    \
    if (!real)                           \
        *(void **)&real = dlsym(RTLD_NEXT, name);

static ssize_t really_write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t)
    return real(fd, data, size);
}

static int really_open(const char *path, int flags, mode_t mode) {
    REAL(int, "open64", const char *, int, ...)
    return real(path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("METHER_JOURNAL"), *where = getenv("METHER_JOURNAL_ROOT");
    char name[PATH_MAX];
    if (!path || !where)
        return;
    root_length = (size_t)snprintf(root, sizeof root, "%s/", where);
    snprintf(name, sizeof name, "%s.mutex", path);
    /* Who makes the file initialises the mutex; the first process is started alone. */
    int fd = really_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat about;
    fstat(fd, &about);
    int fresh = !about.st_size;
    if (fresh && ftruncate64(fd, sizeof *mutex))
        abort();
    mutex = mmap(NULL, sizeof *mutex, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (fresh) {
        pthread_mutexattr_t kind;
        pthread_mutexattr_init(&kind);
        pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(mutex, &kind);
    }
    journal = really_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void enter(void) {
    if (pthread_mutex_lock(mutex) == EOWNERDEAD)
        pthread_mutex_consistent(mutex);
}

static void leave(void) {
    int kept = errno;
    pthread_mutex_unlock(mutex);
    errno = kept;
}

/* The path relative to the root of an absolute one, or of an open file; NULL for what is not to be recorded. */
static const char *inside(const char *path) {
    size_t length = strlen(path);
    if (journal < 0 || strncmp(path, root, root_length) ||
        (length > 4 && !strcmp(path + length - 4, "-shm")))
        return NULL;
    return path + root_length;
}

static const char *opened(int fd, char *buffer) {
    char link[64];
    if (journal < 0 || fd < 3)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0)
        return NULL;
    buffer[length] = 0;
    if ((size_t)length + 1 == root_length && !strncmp(buffer, root, (size_t)length))
        return ".";
    return inside(buffer);
}

static uint64_t inode(int fd) {
    struct stat about;
    return fstat(fd, &about) ? 0 : about.st_ino;
}

static void record(char kind, uint64_t number, uint64_t at, const char *path, const void *data, size_t size) {
    uint32_t named = (uint32_t)strlen(path), length = (uint32_t)(21 + named + size);
    struct iovec parts[] = {{&length, 4}, {&kind, 1}, {&number, 8}, {&at, 8}, {&named, 4},
                            {(void *)path, named}, {(void *)data, size}};
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    if (real(journal, parts, 7) != (ssize_t)length + 4)
        abort();
}

ssize_t write(int fd, const void *data, size_t size) {
    char buffer[PATH_MAX];
    const char *path = opened(fd, buffer);
    if (!path)
        return really_write(fd, data, size);
    enter();
    ssize_t done = really_write(fd, data, size);
    if (done > 0)
        record('W', inode(fd), (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), path, data, (size_t)done);
    leave();
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
    char buffer[PATH_MAX];
    const char *path = opened(fd, buffer);
    if (!path)
        return real(fd, data, size, at);
    enter();
    ssize_t done = real(fd, data, size, at);
    if (done > 0)
        record('W', inode(fd), (uint64_t)at, path, data, (size_t)done);
    leave();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t)
    char buffer[PATH_MAX];
    const char *path = opened(fd, buffer);
    if (!path)
        return real(fd, size);
    enter();
    int done = real(fd, size);
    if (!done)
        record('T', inode(fd), (uint64_t)size, path, NULL, 0);
    leave();
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd) {
    char buffer[PATH_MAX];
    const char *path = opened(fd, buffer);
    struct stat about;
    if (!path || fstat(fd, &about))
        return 0;
    enter();
    record(S_ISDIR(about.st_mode) ? 'D' : 'S', about.st_ino, 0, path, NULL, 0);
    leave();
    return 0;
}

int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    const char *name = flags & (O_CREAT | O_TRUNC) ? inside(path) : NULL;
    struct stat about;
    if (!name)
        return really_open(path, flags, mode);
    enter();
    int there = !stat(path, &about);
    int fd = really_open(path, flags, mode);
    if (fd >= 0 && !there)
        record('N', inode(fd), 0, name, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC && about.st_size)
        record('T', inode(fd), 0, name, NULL, 0);
    leave();
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open64(path, flags, mode);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *)
    const char *old = inside(from), *new = inside(to);
    if (!old || !new)
        return real(from, to);
    enter();
    int done = real(from, to);
    if (!done)
        record('R', 0, 0, old, new, strlen(new));
    leave();
    return done;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *)
    const char *name = inside(path);
    if (!name)
        return real(path);
    enter();
    int done = real(path);
    if (!done)
        record('U', 0, 0, name, NULL, 0);
    leave();
    return done;
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t)
    const char *name = inside(path);
    if (!name)
        return real(path, mode);
    enter();
    int done = real(path, mode);
    if (!done)
        record('M', 0, 0, name, NULL, 0);
    leave();
    return done;
}
