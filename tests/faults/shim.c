/* Lets calls that change the files below one directory fail, or ends the process at one of them.
 *
 * Preloaded (ld.so(8), LD_PRELOAD) into a daemon. SHIM_ROOT names the directory, SHIM_CONTROL a file
 * of the size of `struct control`, which `shim.py` maps too and fills while the daemon runs, SHIM_LOG
 * a file that gets one line for each call: its number, its name, its path.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 65536
#define WORD_MAX 64

enum deed { FAIL, KILL_BEFORE, KILL_AFTER, KILL_SYNCED };

struct control {
    int64_t calls;     /* made so far */
    int64_t at;        /* the first call that is hit; 0: none */
    int64_t through;   /* the last one */
    int64_t error;     /* errno */
    int64_t deed;
    int64_t torn;      /* a write that is hit first writes its half, and the next call fails */
    int64_t hits;      /* so many calls were hit */
    int64_t delay;     /* the word was met: so many calls later it begins */
    int64_t word_size; /* 0: no word is waited for */
    char word[WORD_MAX];
};

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static char *paths[DESCRIPTORS_MAX];
static const char *root;
static size_t root_size;
static struct control *control;
static int record = -1;
static int torn_half;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("SHIM_CONTROL"), *log = getenv("SHIM_LOG");
    root = getenv("SHIM_ROOT");
    if (!root || !where || !log)
        return;
    root_size = strlen(root);
    int shared = (int)syscall(SYS_openat, AT_FDCWD, where, O_RDWR | O_CLOEXEC);
    record = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (shared < 0 || record < 0)
        abort();
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (control == MAP_FAILED)
        abort();
    syscall(SYS_close, shared);
}

static int is_below(const char *path)
{
    return control && path && strncmp(path, root, root_size) == 0 &&
           (path[root_size] == '/' || path[root_size] == 0);
}

static const char *path_of(int descriptor)
{
    if (!control || descriptor < 0 || descriptor >= DESCRIPTORS_MAX)
        return NULL;
    return paths[descriptor];
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int holds(const void *bytes, size_t size)
{
    return bytes && memmem(bytes, size, control->word, (size_t)control->word_size) != NULL;
}

/* Whether this call, now counted, is to fail; 2: it is to do half of it. */
static int enter(const char *name, const char *path, const void *bytes, size_t size)
{
    pthread_mutex_lock(&order);
    int64_t number = ++control->calls;
    dprintf(record, "%ld %s %s\n", (long)number, name, path);
    if (control->word_size && (holds(path, strlen(path) + 1) || holds(bytes, size))) {
        control->word_size = 0;
        control->at = number + control->delay;
        if (control->through == 0)
            control->through = control->at;
    }
    int half = torn_half;
    torn_half = 0;
    if (!half && (!control->at || number < control->at || number > control->through))
        return 0;
    control->hits += control->deed == FAIL;
    switch (control->deed) {
    case KILL_BEFORE:
        die();
        return 0;
    case FAIL:
        if (control->torn && !half && size > 1) {
            torn_half = 1;
            return 2;
        }
        return 1;
    default:
        return 0;
    }
}

static void leave(int synced)
{
    int error = errno;
    int due = control->at && control->calls >= control->at;
    if (due && (control->deed == KILL_AFTER || (control->deed == KILL_SYNCED && synced)))
        die();
    pthread_mutex_unlock(&order);
    errno = error;
}

static int opened(const char *name, int directory, const char *path, int flags, mode_t mode)
{
    int descriptor, writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (!is_below(path))
        return (int)syscall(SYS_openat, directory, path, flags, mode);
    int fails = 0;
    if (writes)
        fails = enter(name, path, NULL, 0);
    else
        pthread_mutex_lock(&order);
    if (fails) {
        errno = (int)control->error;
        descriptor = -1;
    } else {
        descriptor = (int)syscall(SYS_openat, directory, path, flags, mode);
    }
    if (descriptor >= DESCRIPTORS_MAX)
        abort();
    if (descriptor >= 0) {
        free(paths[descriptor]);
        paths[descriptor] = strdup(path);
    }
    if (writes)
        leave(0);
    else
        pthread_mutex_unlock(&order);
    return descriptor;
}

#define OPENS(name)                                                                                \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                              \
        return opened(#name, AT_FDCWD, path, flags, mode);                                         \
    }
#define OPENS_AT(name)                                                                             \
    int name(int directory, const char *path, int flags, ...)                                      \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                              \
        return opened(#name, directory, path, flags, mode);                                        \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

int close(int descriptor)
{
    if (path_of(descriptor)) {
        pthread_mutex_lock(&order);
        free(paths[descriptor]);
        paths[descriptor] = NULL;
        pthread_mutex_unlock(&order);
    }
    return (int)syscall(SYS_close, descriptor);
}

/* `size` is the parameter of which half is done where the write is torn. */
#define WRITES(name, parameters, bytes, size, whole, half)                                         \
    ssize_t name parameters                                                                        \
    {                                                                                              \
        const char *path = path_of(descriptor);                                                    \
        ssize_t done = -1;                                                                         \
        if (!path)                                                                                 \
            return whole;                                                                          \
        int fails = enter(#name, path, bytes, size);                                               \
        if (fails == 1)                                                                            \
            errno = (int)control->error;                                                           \
        else                                                                                       \
            done = fails ? half : whole;                                                           \
        leave(0);                                                                                  \
        return done;                                                                               \
    }
WRITES(write, (int descriptor, const void *bytes, size_t size), bytes, size,
       syscall(SYS_write, descriptor, bytes, size), syscall(SYS_write, descriptor, bytes, size / 2))
WRITES(pwrite, (int descriptor, const void *bytes, size_t size, off_t at), bytes, size,
       REAL(pwrite)(descriptor, bytes, size, at), REAL(pwrite)(descriptor, bytes, size / 2, at))
WRITES(pwrite64, (int descriptor, const void *bytes, size_t size, off64_t at), bytes, size,
       REAL(pwrite64)(descriptor, bytes, size, at), REAL(pwrite64)(descriptor, bytes, size / 2, at))
WRITES(writev, (int descriptor, const struct iovec *parts, int count), NULL, 0,
       REAL(writev)(descriptor, parts, count), 0)
WRITES(sendfile, (int descriptor, int from, off_t *at, size_t size), NULL, size,
       REAL(sendfile)(descriptor, from, at, size), REAL(sendfile)(descriptor, from, at, size / 2))
WRITES(sendfile64, (int descriptor, int from, off64_t *at, size_t size), NULL, size,
       REAL(sendfile64)(descriptor, from, at, size), REAL(sendfile64)(descriptor, from, at, size / 2))

#define FAILS(name, parameters, arguments, path, synced)                                           \
    int name parameters                                                                            \
    {                                                                                              \
        const char *where = path;                                                                  \
        int done = -1;                                                                             \
        if (!where || !is_below(where))                                                            \
            return REAL(name) arguments;                                                           \
        if (enter(#name, where, NULL, 0))                                                          \
            errno = (int)control->error;                                                           \
        else                                                                                       \
            done = REAL(name) arguments;                                                           \
        leave(synced);                                                                             \
        return done;                                                                               \
    }
FAILS(fsync, (int fd), (fd), path_of(fd), 1)
FAILS(fdatasync, (int fd), (fd), path_of(fd), 1)
FAILS(syncfs, (int fd), (fd), path_of(fd), 1)
FAILS(ftruncate, (int fd, off_t size), (fd, size), path_of(fd), 0)
FAILS(ftruncate64, (int fd, off64_t size), (fd, size), path_of(fd), 0)
FAILS(fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), path_of(fd), 0)
FAILS(fchmod, (int fd, mode_t mode), (fd, mode), path_of(fd), 0)
FAILS(chmod, (const char *path, mode_t mode), (path, mode), path, 0)
FAILS(rename, (const char *from, const char *to), (from, to), to, 0)
FAILS(unlink, (const char *path), (path), path, 0)
FAILS(rmdir, (const char *path), (path), path, 0)
FAILS(mkdir, (const char *path, mode_t mode), (path, mode), path, 0)
FAILS(link, (const char *from, const char *to), (from, to), to, 0)
FAILS(symlink, (const char *from, const char *to), (from, to), to, 0)
