/* Exact AArch64 instruction counts, a plug-in for qemu-user (TCG plug-in API 1, or 2 and later).
 *
 *   cc -O2 -shared -fPIC -DPLUGIN_API=1 -o libicount.so icount.c
 *   QEMU_PLUGIN=/abs/libicount.so,out=FILE[,blocks=on][,entries=FILE] qemu-aarch64 PROGRAM
 *
 * FILE gets JSON lines, appended, so that several processes may share it:
 *   {"mark": 3, "pid": 7, "thread": 0, "threads": [[work, spinning], ...]}   at syscall(0xE5E5, 3)
 *   {"exit": 0, "pid": 7, "threads": [[work, spinning], ...]}                when the program ends
 * with entries=FILE, whose first word is a library's file name and whose others are offsets in that file,
 *   {"entry": offset, "pid": 7, "thread": 0, "threads": [[work, spinning], ...]}
 * between an even mark and the odd one after it, each time that a block which begins there is about to run;
 * with blocks=on, after `exit`, what ran between an even mark and the odd one after it (without
 * any mark: everything), for attribution to functions:
 *   {"block": address, "instructions": n, "count": times, "pid": 7}
 *   {"map": "/path", "start": address, "end": address, "offset": bytes, "pid": 7}
 * Thread 0 is the first one. Counts are cumulative from the start of the program.
 *
 * Spinning: a block inside a loop of at most 8 instructions that loads with acquire semantics, stores
 * nothing and calls nothing waits for another thread; how often it turns depends on the host's scheduler
 * alone, so it is counted apart.
 *
 * The declarations below are those of qemu-plugin.h, which no package of Debian's carries.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PLUGIN_API
#define PLUGIN_API 1
#endif

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
typedef void (*exec_callback)(unsigned vcpu, void *data);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, exec_callback, int flags, void *);
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
extern void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_API;

enum { MARK_SYSCALL = 0xE5E5, LOOP_MAX = 8, PAGE = 4096, MAX_PARTS = 16 };

struct block {
    uint64_t address;
    uint64_t count;
    uint32_t instructions;
    bool spinning;
    uint64_t guest_base;
    uint64_t offset; /* in the library, where it is an entry */
    bool entry;
    struct block *next;
};

/* Where a part of the library with the entries lies in this process. */
struct part {
    uintptr_t start, end;
    uint64_t offset;
};

struct thread {
    uint64_t work;
    uint64_t spinning;
    struct thread *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks;
static struct thread *threads, **threads_end = &threads;
static __thread struct thread *own;
static FILE *out;
static bool list_blocks, marked, inside = true;
static char library[256];
static uint64_t *entries;
static size_t n_entries;
static struct part parts[MAX_PARTS];
static int n_parts;

static bool is_acquire_load(uint32_t w)
{
    return (w & 0x3fe08000) == 0x08c08000     /* LDAR, LDARB, LDARH */
           || (w & 0x3fe08000) == 0x08408000  /* LDAXR */
           || (w & 0x3ffffc00) == 0x38bfc000  /* LDAPR */
           || (w & 0x3f600c00) == 0x19400000; /* LDAPUR */
}

/* Whether an instruction may write memory; what is not known to be a plain load counts as a store. */
static bool is_store(uint32_t w)
{
    if ((w >> 25 & 5) != 4)
        return false;
    if (is_acquire_load(w) || (w & 0x3b000000) == 0x18000000) /* LDR (literal) */
        return false;
    if ((w & 0x3f000000) == 0x08000000) /* exclusive, ordered, compare and swap */
        return !(w >> 22 & 1) || (w >> 21 & 1);
    if ((w & 0x3b200c00) == 0x38200000) /* atomic read-modify-write */
        return true;
    if ((w & 0x38000000) == 0x38000000)
        return (w >> 26 & 1) ? !(w >> 22 & 1) : !(w >> 22 & 3);
    return !(w >> 22 & 1);
}

/* Whether an instruction leaves in a way that a waiting loop does not: a call, a return, a system call. */
static bool is_departure(uint32_t w)
{
    if ((w >> 26 & 31) == 5) /* B, BL */
        return w >> 31;
    if ((w & 0xff000010) == 0x54000000 || (w & 0x7c000000) == 0x34000000)
        return false;        /* B.cond, CBZ, CBNZ, TBZ, TBNZ */
    if ((w & 0xffc00000) == 0xd5000000)
        return false;        /* hints, barriers, system registers */
    return (w >> 25 & 14) == 10 && (w & 0x1c000000) == 0x14000000;
}

/* Distance in instructions of a direct branch's target; 0 for everything else. */
static int branch_distance(uint32_t w)
{
    if (w >> 26 == 5)
        return (int32_t)(w << 6) >> 6;
    if ((w & 0xff000010) == 0x54000000 || (w & 0x7e000000) == 0x34000000)
        return (int32_t)(w << 8) >> 13;
    if ((w & 0x7e000000) == 0x36000000)
        return (int32_t)(w << 13) >> 18;
    return 0;
}

static bool is_waiting_loop(const uint32_t *start, const uint32_t *end)
{
    bool acquires = false;
    for (const uint32_t *at = start; at <= end; at++) {
        if (is_store(*at) || is_departure(*at))
            return false;
        acquires |= is_acquire_load(*at);
    }
    return acquires;
}

/* Whether the instructions first..last lie in a waiting loop of their page. */
static bool is_spinning(const uint32_t *first, const uint32_t *last)
{
    const uint32_t *page = (const uint32_t *)((uintptr_t)first & ~(uintptr_t)(PAGE - 1));
    const uint32_t *page_end = page + PAGE / 4;
    if (last - first >= LOOP_MAX || last >= page_end)
        return false;
    for (const uint32_t *start = first; start >= page && last - start < LOOP_MAX; start--)
        for (const uint32_t *end = last; end < page_end && end - start < LOOP_MAX; end++)
            if (end + branch_distance(*end) == start && branch_distance(*end) && is_waiting_loop(start, end))
                return true;
    return false;
}

static struct thread *own_counts(void)
{
    if (!own) {
        own = calloc(1, sizeof *own);
        pthread_mutex_lock(&lock);
        *threads_end = own;
        threads_end = &own->next;
        pthread_mutex_unlock(&lock);
    }
    return own;
}

static void report(const char *what, uint64_t label, bool with_thread);

static void on_block(unsigned vcpu, void *data)
{
    struct block *block = data;
    struct thread *counts = own ? own : own_counts();
    (void)vcpu;
    if (block->entry && marked && inside)
        report("entry", block->offset, true);
    if (block->spinning)
        counts->spinning += block->instructions;
    else
        counts->work += block->instructions;
    if (list_blocks && inside)
        __atomic_fetch_add(&block->count, 1, __ATOMIC_RELAXED);
}

static void find_parts(void)
{
    char line[4500], path[4096];
    uint64_t start, end, offset;
    FILE *maps = fopen("/proc/self/maps", "r");
    n_parts = 0;
    while (maps && n_parts < MAX_PARTS && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %4095[^\n]", &start, &end, &offset, path) != 4)
            continue;
        const char *name = strrchr(path, '/');
        if (name && !strcmp(name + 1, library))
            parts[n_parts++] = (struct part){start, end, offset};
    }
    if (maps)
        fclose(maps);
}

static bool find_offset(uintptr_t host, uint64_t *offset)
{
    for (int i = 0; i < n_parts; i++)
        if (host >= parts[i].start && host < parts[i].end) {
            *offset = host - parts[i].start + parts[i].offset;
            return true;
        }
    return false;
}

/* Whether a block begins at one of the entries. A block outside the library may be of one loaded since. */
static bool is_entry(uintptr_t host, uint64_t *offset)
{
    if (!n_entries || !host)
        return false;
    if (!find_offset(host, offset)) {
        find_parts();
        if (!find_offset(host, offset))
            return false;
    }
    for (size_t i = 0; i < n_entries; i++)
        if (entries[i] == *offset)
            return true;
    return false;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    if (!n)
        return;
    struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0), *last = qemu_plugin_tb_get_insn(tb, n - 1);
    const uint32_t *host = qemu_plugin_insn_haddr(first), *host_end = qemu_plugin_insn_haddr(last);
    struct block *block = calloc(1, sizeof *block);
    (void)id;
    block->address = qemu_plugin_insn_vaddr(first);
    block->instructions = n;
    block->guest_base = (uintptr_t)host - block->address;
    block->spinning = host && host_end == host + n - 1 && is_spinning(host, host_end);
    pthread_mutex_lock(&lock);
    block->entry = is_entry((uintptr_t)host, &block->offset);
    block->next = blocks;
    blocks = block;
    pthread_mutex_unlock(&lock);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, 0, block);
}

static void report(const char *what, uint64_t label, bool with_thread)
{
    int index = 0;
    pthread_mutex_lock(&lock);
    fprintf(out, "{\"%s\": %" PRIu64 ", \"pid\": %d", what, label, getpid());
    if (with_thread) {
        for (struct thread *t = threads; t && t != own; t = t->next)
            index++;
        fprintf(out, ", \"thread\": %d", index);
    }
    fprintf(out, ", \"threads\": [");
    for (struct thread *t = threads; t; t = t->next)
        fprintf(out, "%s[%" PRIu64 ", %" PRIu64 "]", t == threads ? "" : ", ",
                __atomic_load_n(&t->work, __ATOMIC_RELAXED), __atomic_load_n(&t->spinning, __ATOMIC_RELAXED));
    fprintf(out, "]}\n");
    fflush(out);
    pthread_mutex_unlock(&lock);
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != MARK_SYSCALL)
        return;
    own_counts();
    report("mark", a1, true);
    if (list_blocks && !marked) /* the first mark: what ran before is not of interest */
        for (struct block *b = blocks; b; b = b->next)
            b->count = 0;
    marked = true;
    inside = !(a1 & 1);
}

static bool has_counted_block(uint64_t start, uint64_t end)
{
    for (struct block *b = blocks; b; b = b->next)
        if (b->count && b->address >= start && b->address < end)
            return true;
    return false;
}

static void report_maps(uint64_t guest_base)
{
    char line[4500], path[4096], mode[8];
    uint64_t start, end, offset;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        return;
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %4095[^\n]", &start, &end, mode, &offset, path)
                != 5 || path[0] != '/' || strpbrk(path, "\"\\")
            || !has_counted_block(start - guest_base, end - guest_base))
            continue;
        fprintf(out, "{\"map\": \"%s\", \"start\": %" PRIu64 ", \"end\": %" PRIu64 ", \"offset\": %" PRIu64
                ", \"pid\": %d}\n", path, start - guest_base, end - guest_base, offset, getpid());
    }
    fclose(maps);
}

static void on_exit_of_program(plugin_id id, void *data)
{
    (void)id, (void)data;
    report("exit", 0, false);
    if (!list_blocks)
        return;
    pthread_mutex_lock(&lock);
    for (struct block *b = blocks; b; b = b->next)
        if (b->count)
            fprintf(out, "{\"block\": %" PRIu64 ", \"instructions\": %u, \"count\": %" PRIu64 ", \"pid\": %d}\n",
                    b->address, b->instructions, b->count, getpid());
    if (blocks)
        report_maps(blocks->guest_base);
    fflush(out);
    pthread_mutex_unlock(&lock);
}

static bool read_entries(const char *path)
{
    FILE *file = fopen(path, "re");
    uint64_t offset;
    bool good = file && fscanf(file, "%255s", library) == 1;
    while (good && fscanf(file, "%" SCNu64, &offset) == 1) {
        uint64_t *more = realloc(entries, (n_entries + 1) * sizeof *entries);
        good = more != NULL;
        if (good) {
            entries = more;
            entries[n_entries++] = offset;
        }
    }
    if (file)
        fclose(file);
    return good && n_entries;
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc,
                                                               char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "ae");
        else if (!strcmp(argv[i], "blocks=on"))
            list_blocks = true;
        else if (!strncmp(argv[i], "entries=", 8) && !read_entries(argv[i] + 8))
            return fprintf(stderr, "icount: %s names no library and its entries\n", argv[i] + 8), -1;
        else if (strncmp(argv[i], "entries=", 8))
            return fprintf(stderr, "icount: unknown argument %s\n", argv[i]), -1;
    }
    if (!out)
        return fprintf(stderr, "icount: out= is missing or cannot be written\n"), -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
    return 0;
}
