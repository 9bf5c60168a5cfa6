/* Preloaded into a server: once the file named by TORTURE_TRIGGER exists, writes or syncs of RocksDB's logs (`<number>.log`) fail.
 * The file's first word says which calls fail (`write`, `torn`: a write that stores half of its data first, or `sync`), and its
 * second word how (EIO or ENOSPC). Nothing else is touched. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { WRITE, SYNC };

static int is_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 4) return 0;
    path[n] = 0;
    if (strcmp(path + n - 4, ".log") != 0) return 0;
    char *name = strrchr(path, '/');
    if (!name || name + 1 == path + n - 4) return 0;
    for (char *c = name + 1; c < path + n - 4; c++)
        if (!isdigit((unsigned char)*c)) return 0;
    return 1;
}

/* The error that this call must fail with, or 0. `torn` is set if half of the data goes first. */
static int failure(enum call call, int fd, int *torn) {
    const char *trigger = getenv("TORTURE_TRIGGER");
    char text[32];
    if (!trigger || access(trigger, F_OK) != 0 || !is_log(fd)) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, trigger, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return 0;
    ssize_t n = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (n <= 0) return 0;
    text[n] = 0;
    *torn = strncmp(text, "torn", 4) == 0;
    int sync = strncmp(text, "sync", 4) == 0;
    if (sync != (call == SYNC)) return 0;
    return strstr(text, "ENOSPC") ? ENOSPC : EIO;
}

ssize_t write(int fd, const void *data, size_t size) {
    int torn = 0, error = failure(WRITE, fd, &torn);
    if (!error) return syscall(SYS_write, fd, data, size);
    if (torn) syscall(SYS_write, fd, data, size / 2);
    errno = error;
    return -1;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    int torn = 0, error = failure(WRITE, fd, &torn);
    if (!error) return syscall(SYS_pwrite64, fd, data, size, offset);
    if (torn) syscall(SYS_pwrite64, fd, data, size / 2, offset);
    errno = error;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int torn = 0, error = failure(WRITE, fd, &torn);
    if (!error) return syscall(SYS_writev, fd, parts, count);
    errno = error;
    return -1;
}

int fdatasync(int fd) {
    int torn = 0, error = failure(SYNC, fd, &torn);
    if (!error) return (int)syscall(SYS_fdatasync, fd);
    errno = error;
    return -1;
}

int fsync(int fd) {
    int torn = 0, error = failure(SYNC, fd, &torn);
    if (!error) return (int)syscall(SYS_fsync, fd);
    errno = error;
    return -1;
}
