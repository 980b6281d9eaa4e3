/* A disk that is full as long as a file says so: nothing gets longer, what there is can be written to. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int refused(int file, off_t end) {
    struct stat found;
    if (access(CONTROL, F_OK) || fstat(file, &found) || !S_ISREG(found.st_mode) || end <= found.st_size) return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite");
    return refused(file, at + (off_t)length) ? -1 : real(file, bytes, length, at);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    off_t end = at;
    if (!real) real = dlsym(RTLD_NEXT, "pwritev");
    for (int part = 0; part < count; part++) end += (off_t)parts[part].iov_len;
    return refused(file, end) ? -1 : real(file, parts, count, at);
}

int posix_fallocate(int file, off_t at, off_t length) {
    static int (*real)(int, off_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "posix_fallocate");
    return refused(file, at + length) ? ENOSPC : real(file, at, length);
}

ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));
ssize_t pwritev64(int, const struct iovec *, int, off_t) __attribute__((alias("pwritev")));
int posix_fallocate64(int, off_t, off_t) __attribute__((alias("posix_fallocate")));
