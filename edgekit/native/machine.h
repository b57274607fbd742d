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

/* Where threads are bound, in Paddle Lite's words (lite/api/paddle_place.h). */
typedef enum { POWER_NONE = -1, POWER_HIGH, POWER_LOW, POWER_FULL, POWER_NO_BIND } power_mode;

/* A steady clock, nanoseconds. */
int64_t steady_ns(void);
/* CPU time of all threads of this process, nanoseconds. */
int64_t cpu_ns(void);

/* The first whole number in a file of /proc or /sys; false where it cannot be read. */
bool read_number(const char *path, int64_t *result);

/* Cores that exist, in order of their number. */
core_list machine_cores(void);
/* How many threads may be asked for: one a core. */
int core_limit(void);
/* The most that cpufreq lets a core run at, kHz; false where the kernel does not say. */
bool core_max_khz(int core, int64_t *khz);

/* The cores that a power mode stands for with so many threads, the same for every engine and as Paddle
 * Lite takes them (lite/core/device_info.cc, v2.12): HIGH the fastest `threads` cores outside the
 * slowest cluster, LOW the first `threads` cores of the slowest cluster, FULL the fastest `threads` of
 * all. Fewer where there are fewer. One cluster counts as the big one for HIGH and as the little one for
 * LOW. Empty for NO_BIND: no binding. */
core_list power_mode_cores(power_mode mode, int threads);

/* Binds the calling thread, and so every thread that it starts, to these cores. False with errno where
 * the kernel refuses or leaves some of them out. */
bool bind_to(const core_list *cores);

/* Threads of this process; 0 where /proc does not show them. */
int thread_count(void);
/* Cores that any thread of this process may run on. */
core_list allowed_cores(void);
/* Adds the cores that each thread last ran on, as /proc tells. */
void add_cores_seen(cpu_set_t *seen);
core_list listed(const cpu_set_t *set);

/* Peak resident memory of this process, bytes; false where the kernel does not say. */
bool peak_memory(int64_t *bytes);
/* Memory that could be had now, bytes; false where the kernel does not say. */
bool available_memory(int64_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
