/* Cores, threads, clocks and memory of this process, as the kernel shows them. */
#ifndef EDGEKIT_MACHINE_H
#define EDGEKIT_MACHINE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_CORES = 1024 };

typedef struct {
    int cores[MAX_CORES];
    int count;
} core_list;

/* Paddle Lite's modes of binding threads to cores (lite/api/paddle_place.h). */
typedef enum { POWER_NONE = -1, POWER_HIGH, POWER_LOW, POWER_FULL, POWER_NO_BIND } power_mode;

/* Returns the time of a steady clock, nanoseconds. */
int64_t steady_ns(void);
/* Returns the CPU time of all threads of this process, nanoseconds. */
int64_t cpu_ns(void);

/* Reads the first integer in a file of /proc or /sys; false where it cannot be read. */
bool read_number(const char *path, int64_t *result);

/* Returns the existing cores, by number. */
core_list machine_cores(void);
/* Returns the maximum number of threads: one a core. */
int core_limit(void);
/* Reads cpufreq's maximum frequency of a core, kHz; returns false where the kernel does not report it. */
bool core_max_khz(int core, int64_t *khz);

/* Returns the cores of a power mode for a number of threads, for every engine as Paddle Lite chooses them
 * (lite/core/device_info.cc, v2.12): HIGH the fastest `threads` cores outside the slowest cluster, LOW the
 * first `threads` cores of the slowest cluster, FULL the fastest `threads` of all. There may be fewer cores
 * than threads. A single cluster counts as the big one for HIGH and as the little one for LOW. Empty for
 * NO_BIND: no binding. */
core_list power_mode_cores(power_mode mode, int threads);

/* Binds the calling thread, and so every thread that it starts, to these cores. Returns false with errno
 * where the kernel refuses or leaves out some cores. */
bool bind_to(const core_list *cores);

/* Returns the number of threads of this process; 0 where /proc does not show them. */
int thread_count(void);
/* Returns the cores that any thread of this process may run on. */
core_list allowed_cores(void);
/* Adds the cores that each thread last ran on, by /proc. */
void add_cores_seen(cpu_set_t *seen);
core_list listed(const cpu_set_t *set);

/* Reads the peak resident memory of this process, bytes; returns false where the kernel lacks it. */
bool peak_memory(int64_t *bytes);
/* Reads the available memory, bytes; returns false where the kernel does not report it. */
bool available_memory(int64_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
