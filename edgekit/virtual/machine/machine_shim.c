/* What qemu-user asks the host about, answered for the virtual device; loaded into the emulator itself.
 *
 * - The wall clock is shifted by the nanoseconds in /dev/.clock_shift; steady clocks are untouched.
 * - CPU affinity is that of the device's cores (/sys/devices/system/cpu/present), not of the host's, of
 *   which there may be fewer: masks are checked and kept, threads are not moved. A thread starts with the
 *   mask that the first thread has; masks do not outlive exec.
 *
 * qemu calls these functions of the C library on behalf of the ARM64 program, so defining them in a
 * library that is searched before the C library is enough.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000, KNOWN_THREADS = 256 };

static const volatile int64_t *shift_ns;
static uint64_t present;
static uint64_t first_mask;
static int (*next_clock_gettime)(clockid_t, struct timespec *);
static long (*next_syscall)(long, ...);

struct known { pid_t thread; uint64_t mask; };
static struct known known[KNOWN_THREADS];
static unsigned known_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void prepare(void)
{
    unsigned first = 0, last = 0;
    int fd = open("/dev/.clock_shift", O_RDONLY | O_CLOEXEC);
    next_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    next_syscall = dlsym(RTLD_NEXT, "syscall");
    if (fd >= 0) {
        void *map = mmap(NULL, sizeof *shift_ns, PROT_READ, MAP_SHARED, fd, 0);
        shift_ns = map == MAP_FAILED ? NULL : map;
        close(fd);
    }
    FILE *file = fopen("/sys/devices/system/cpu/present", "re");
    if (file) {
        if (fscanf(file, "%u-%u", &first, &last) == 2 && last < 64)
            present = (last == 63 ? 0 : UINT64_C(1) << (last + 1)) - (UINT64_C(1) << first);
        fclose(file);
    }
    first_mask = present;
}

static void shift(struct timespec *at)
{
    if (!shift_ns || !*shift_ns)
        return;
    int64_t ns = at->tv_nsec + *shift_ns % NS_PER_S;
    at->tv_sec += *shift_ns / NS_PER_S + (ns >= NS_PER_S) - (ns < 0);
    at->tv_nsec = ns + (ns < 0 ? NS_PER_S : ns >= NS_PER_S ? -(int64_t)NS_PER_S : 0);
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    if (!next_clock_gettime)
        next_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = next_clock_gettime(clock, at);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI))
        shift(at);
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

static struct known *find(pid_t thread)
{
    for (unsigned i = 0; i < known_count; i++)
        if (known[i].thread == thread)
            return &known[i];
    return NULL;
}

static uint64_t mask_of(pid_t thread)
{
    pthread_mutex_lock(&lock);
    struct known *entry = find(thread);
    uint64_t mask = entry ? entry->mask : first_mask;
    pthread_mutex_unlock(&lock);
    return mask;
}

static long set_affinity(pid_t thread, size_t length, const void *bytes)
{
    uint64_t mask = 0;
    memcpy(&mask, bytes, length < sizeof mask ? length : sizeof mask);
    mask &= present;
    if (!mask)
        return errno = EINVAL, -1;
    pthread_mutex_lock(&lock);
    struct known *entry = find(thread);
    if (!entry && known_count < KNOWN_THREADS) {
        entry = &known[known_count++];
        entry->thread = thread;
    }
    if (entry)
        entry->mask = mask;
    if (thread == getpid())
        first_mask = mask;
    pthread_mutex_unlock(&lock);
    return entry ? 0 : (errno = ENOMEM, -1);
}

static long get_affinity(pid_t thread, size_t length, void *bytes)
{
    uint64_t mask = mask_of(thread);
    if (length < sizeof mask)
        return errno = EINVAL, -1;
    memcpy(bytes, &mask, sizeof mask);
    return sizeof mask;
}

/* A core of the thread's mask: threads spread over it in the order of their ids. */
static long get_core(unsigned *core)
{
    pid_t thread = next_syscall(SYS_gettid);
    uint64_t mask = mask_of(thread);
    unsigned skip = (unsigned)(thread - getpid()) % (unsigned)__builtin_popcountll(mask);
    while (skip--)
        mask &= mask - 1;
    *core = (unsigned)__builtin_ctzll(mask);
    return 0;
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!next_syscall)
        next_syscall = dlsym(RTLD_NEXT, "syscall");
    if (present) {
        pid_t thread = a[0] ? (pid_t)a[0] : (pid_t)next_syscall(SYS_gettid);
        if (number == SYS_sched_setaffinity)
            return set_affinity(thread, (size_t)a[1], (const void *)a[2]);
        if (number == SYS_sched_getaffinity)
            return get_affinity(thread, (size_t)a[1], (void *)a[2]);
        if (number == SYS_getcpu && a[0]) {
            if (a[1])
                *(unsigned *)a[1] = 0;
            return get_core((unsigned *)a[0]);
        }
    }
    return next_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
