/* Records what a process does to the files below one directory, in the order in which it is done.
 *
 * Preloaded (ld.so(8), LD_PRELOAD) into a process that runs the journal. RECORDER_ROOT names the
 * directory, RECORDER_LOG the file that entries are appended to. With RECORDER_DIES_AT=N the process
 * ends before its N-th entry, as by SIGKILL.
 *
 * An entry is a kind, a file descriptor, a number and two byte strings; see `recorded.py`. Whatever
 * could change a file without being understood there is an entry of the kind '!'.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 65536

struct __attribute__((packed)) head {
    char kind;
    int32_t descriptor;
    int64_t number;
    uint32_t first_bytes;
    uint32_t second_bytes;
};

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static char watched[DESCRIPTORS_MAX];
static const char *root;
static size_t root_bytes;
static int record = -1;
static long entries, dies_at;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void add(char kind, int descriptor, int64_t number, const void *first, size_t first_bytes,
                const void *second, size_t second_bytes)
{
    struct head head = {kind, descriptor, number, (uint32_t)first_bytes, (uint32_t)second_bytes};
    struct iovec parts[3] = {{&head, sizeof head},
                             {(void *)first, first_bytes},
                             {(void *)second, second_bytes}};
    ssize_t whole = (ssize_t)(sizeof head + first_bytes + second_bytes);
    if (syscall(SYS_writev, record, parts, 3) != whole)
        abort();
}

static void add_text(char kind, int descriptor, int64_t number, const char *first,
                     const char *second)
{
    add(kind, descriptor, number, first, strlen(first), second, second ? strlen(second) : 0);
}

__attribute__((constructor)) static void begin(void)
{
    const char *log = getenv("RECORDER_LOG"), *at = getenv("RECORDER_DIES_AT");
    root = getenv("RECORDER_ROOT");
    if (!root || !log)
        return;
    root_bytes = strlen(root);
    dies_at = at ? atol(at) : 0;
    record = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (record < 0)
        abort();
    add('P', -1, 0, "", 0, "", 0);
}

static int is_below(const char *path)
{
    return record >= 0 && path && strncmp(path, root, root_bytes) == 0 &&
           (path[root_bytes] == '/' || path[root_bytes] == 0);
}

static int is_watched(int descriptor)
{
    return record >= 0 && descriptor >= 0 && descriptor < DESCRIPTORS_MAX && watched[descriptor];
}

static void enter(void)
{
    pthread_mutex_lock(&order);
    if (++entries == dies_at)
        _exit(137);
}

static void leave(void)
{
    int error = errno;
    pthread_mutex_unlock(&order);
    errno = error;
}

/* The workload's own word between two operations: an instant of which it knows something. */
void recorder_note(const void *note, size_t bytes)
{
    if (record < 0)
        return;
    pthread_mutex_lock(&order);
    add('N', -1, 0, note, bytes, "", 0);
    pthread_mutex_unlock(&order);
}

static int opened(int directory, const char *path, int flags, mode_t mode)
{
    int descriptor;
    if (!is_below(path))
        return (int)syscall(SYS_openat, directory, path, flags, mode);
    enter();
    descriptor = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (descriptor >= DESCRIPTORS_MAX)
        abort();
    if (descriptor >= 0) {
        watched[descriptor] = flags & O_APPEND ? 2 : 1;
        add_text('O', descriptor, flags, path, "");
    }
    leave();
    return descriptor;
}

#define OPENS(name)                                                                                \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                              \
        return opened(AT_FDCWD, path, flags, mode);                                                \
    }
#define OPENS_AT(name)                                                                             \
    int name(int directory, const char *path, int flags, ...)                                      \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                              \
        return opened(directory, path, flags, mode);                                               \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

int close(int descriptor)
{
    if (!is_watched(descriptor))
        return (int)syscall(SYS_close, descriptor);
    enter();
    watched[descriptor] = 0;
    add('C', descriptor, 0, "", 0, "", 0);
    int done = (int)syscall(SYS_close, descriptor);
    leave();
    return done;
}

static ssize_t wrote(int descriptor, const void *bytes, size_t count, int64_t at, int moves)
{
    enter();
    if (moves && watched[descriptor] == 2)
        at = lseek(descriptor, 0, SEEK_END);
    else if (moves)
        at = lseek(descriptor, 0, SEEK_CUR);
    ssize_t done = moves ? syscall(SYS_write, descriptor, bytes, count)
                         : syscall(SYS_pwrite64, descriptor, bytes, count, at);
    if (done > 0)
        add('W', descriptor, at, bytes, (size_t)done, "", 0);
    leave();
    return done;
}

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    if (!is_watched(descriptor))
        return syscall(SYS_write, descriptor, bytes, count);
    return wrote(descriptor, bytes, count, 0, 1);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t at)
{
    if (!is_watched(descriptor))
        return REAL(pwrite)(descriptor, bytes, count, at);
    return wrote(descriptor, bytes, count, at, 0);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t at)
{
    if (!is_watched(descriptor))
        return REAL(pwrite64)(descriptor, bytes, count, at);
    return wrote(descriptor, bytes, count, at, 0);
}

#define ON_DESCRIPTOR(name, kind, number, parameters, arguments)                                   \
    int name parameters                                                                            \
    {                                                                                              \
        if (!is_watched(descriptor))                                                               \
            return REAL(name) arguments;                                                           \
        enter();                                                                                   \
        int done = REAL(name) arguments;                                                           \
        if (done == 0)                                                                             \
            add(kind, descriptor, number, "", 0, "", 0);                                           \
        leave();                                                                                   \
        return done;                                                                               \
    }
ON_DESCRIPTOR(ftruncate, 'T', size, (int descriptor, off_t size), (descriptor, size))
ON_DESCRIPTOR(ftruncate64, 'T', size, (int descriptor, off64_t size), (descriptor, size))
ON_DESCRIPTOR(fsync, 'S', 0, (int descriptor), (descriptor))
ON_DESCRIPTOR(fdatasync, 'S', 0, (int descriptor), (descriptor))
ON_DESCRIPTOR(syncfs, 'Y', 0, (int descriptor), (descriptor))

#define ON_PATHS(name, kind, parameters, arguments, first, second)                                 \
    int name parameters                                                                            \
    {                                                                                              \
        if (!is_below(first))                                                                      \
            return REAL(name) arguments;                                                           \
        enter();                                                                                   \
        int done = REAL(name) arguments;                                                           \
        if (done == 0)                                                                             \
            add_text(kind, -1, 0, first, second);                                                  \
        leave();                                                                                   \
        return done;                                                                               \
    }
ON_PATHS(rename, 'R', (const char *from, const char *to), (from, to), from, to)
ON_PATHS(unlink, 'U', (const char *path), (path), path, "")
ON_PATHS(mkdir, 'M', (const char *path, mode_t mode), (path, mode), path, "")

/* What nobody does here so far. Whoever begins to is found out, and taught to `disk.py`. */
#define NOT_UNDERSTOOD(type, name, parameters, arguments, condition)                               \
    type name parameters                                                                           \
    {                                                                                              \
        if (condition) {                                                                           \
            enter();                                                                               \
            add_text('!', -1, 0, #name, "");                                                       \
            leave();                                                                               \
        }                                                                                          \
        return REAL(name) arguments;                                                               \
    }
NOT_UNDERSTOOD(void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t from),
               (at, n, prot, flags, fd, from), is_watched(fd))
NOT_UNDERSTOOD(void *, mmap64, (void *at, size_t n, int prot, int flags, int fd, off64_t from),
               (at, n, prot, flags, fd, from), is_watched(fd))
NOT_UNDERSTOOD(int, link, (const char *from, const char *to), (from, to), is_below(to))
NOT_UNDERSTOOD(int, symlink, (const char *from, const char *to), (from, to), is_below(to))
NOT_UNDERSTOOD(int, rmdir, (const char *path), (path), is_below(path))
NOT_UNDERSTOOD(int, remove, (const char *path), (path), is_below(path))
NOT_UNDERSTOOD(int, truncate, (const char *path, off_t size), (path, size), is_below(path))
NOT_UNDERSTOOD(int, truncate64, (const char *path, off64_t size), (path, size), is_below(path))
NOT_UNDERSTOOD(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to),
               is_below(from) || is_below(to))
NOT_UNDERSTOOD(int, unlinkat, (int at, const char *path, int flags), (at, path, flags),
               is_below(path) || is_watched(at))
NOT_UNDERSTOOD(int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode),
               is_below(path) || is_watched(at))
NOT_UNDERSTOOD(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count),
               is_watched(fd))
NOT_UNDERSTOOD(ssize_t, sendfile, (int to, int from, off_t *at, size_t n), (to, from, at, n),
               is_watched(to))
NOT_UNDERSTOOD(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t n), (to, from, at, n),
               is_watched(to))
NOT_UNDERSTOOD(ssize_t, copy_file_range,
               (int from, off64_t *a, int to, off64_t *b, size_t n, unsigned int flags),
               (from, a, to, b, n, flags), is_watched(to))
NOT_UNDERSTOOD(int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n),
               is_watched(fd))
NOT_UNDERSTOOD(int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n), is_watched(fd))
NOT_UNDERSTOOD(int, posix_fallocate64, (int fd, off64_t at, off64_t n), (fd, at, n),
               is_watched(fd))
NOT_UNDERSTOOD(int, dup, (int fd), (fd), is_watched(fd))
NOT_UNDERSTOOD(int, dup2, (int fd, int to), (fd, to), is_watched(fd))
NOT_UNDERSTOOD(int, dup3, (int fd, int to, int flags), (fd, to, flags), is_watched(fd))
