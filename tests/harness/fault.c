/* Preloaded into a program of ours: a write to one file waits, or a sync of it fails, as long as a word elsewhere says so.
   FAULT_FILE is that file; the first letter of what is in FAULT_CONTROL decides: b blocks, f fails, anything else does nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char told(int fd) {
  const char *file = getenv("FAULT_FILE"), *control = getenv("FAULT_CONTROL");
  struct stat wanted, given;
  char word = 0;
  int from;
  if (!file || !control || stat(file, &wanted) || fstat(fd, &given)) return 0;
  if (wanted.st_dev != given.st_dev || wanted.st_ino != given.st_ino) return 0;
  from = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
  if (from < 0) return 0;
  if (syscall(SYS_read, from, &word, 1) != 1) word = 0;
  syscall(SYS_close, from);
  return word;
}

static void pass(int fd) {
  const struct timespec a_moment = {0, 10000000};
  int before = errno;
  while (told(fd) == 'b') nanosleep(&a_moment, 0);
  errno = before;
}

static int sync_by(long call, int fd) {
  pass(fd);
  if (told(fd) == 'f') {
    errno = EIO;
    return -1;
  }
  return syscall(call, fd);
}

int fsync(int fd) { return sync_by(SYS_fsync, fd); }

int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

ssize_t write(int fd, const void *bytes, size_t count) {
  pass(fd);
  return syscall(SYS_write, fd, bytes, count);
}
