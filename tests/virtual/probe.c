/* An ARM64 program without a C library, for tests of the virtual device.
 *
 *   probe exit N       print "hello" and end with exit code N
 *   probe marks N      mark 10 rounds of the same work on N threads, which wait for each other by spinning
 *   probe clock        print the wall clock and the steady clock in ns
 *   probe cores MASK   bind to a mask of cores; print errno, the mask afterwards and the core it runs on
 *   probe dot          execute a dot product instruction
 *   probe wait         sleep for an hour
 */
typedef unsigned long u64;
typedef long i64;

static i64 call(i64 n, i64 a, i64 b, i64 c, i64 d, i64 e)
{
    register i64 x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                     x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}

enum { WRITE = 64, EXIT = 93, EXIT_GROUP = 94, NANOSLEEP = 101, CLOCK_GETTIME = 113, SET_AFFINITY = 122,
       GET_AFFINITY = 123, GETCPU = 168, MARK = 0xE5E5, ROUNDS = 10, WORK = 100000 };

static void put(const char *text)
{
    i64 n = 0;
    while (text[n])
        n++;
    call(WRITE, 1, (i64)text, n, 0, 0);
}

static void put_number(u64 value)
{
    char text[24], *at = text + sizeof text;
    *--at = 0;
    *--at = '\n';
    do
        *--at = '0' + value % 10;
    while (value /= 10);
    put(at);
}

static u64 number(const char *text)
{
    u64 value = 0;
    while (*text)
        value = value * 10 + (u64)(*text++ - '0');
    return value;
}

static volatile u64 sink;
static int round_now, finished;

static void work(void)
{
    u64 sum = 0;
    for (u64 i = 0; i < WORK; i++) {
        sum += sum ^ i;
        __asm__ volatile("" : "+r"(sum)); /* keeps the loop a loop */
    }
    sink = sum;
}

static void helper(void)
{
    for (int round = 1; round <= ROUNDS; round++) {
        while (__atomic_load_n(&round_now, __ATOMIC_ACQUIRE) < round)
            ;
        work();
        __atomic_fetch_add(&finished, 1, __ATOMIC_ACQ_REL);
    }
    call(EXIT, 0, 0, 0, 0, 0);
}

/* clone(2) with the flags of a thread; the child takes `run` from its new stack and never returns. */
i64 start_thread(void (*run)(void), void *stack);
__asm__("start_thread:\n"
        "  stp x0, xzr, [x1, #-16]!\n"
        "  mov x8, #220\n"
        "  mov x0, #0x0f00\n"
        "  movk x0, #0x5, lsl #16\n"
        "  mov x2, xzr\n  mov x3, xzr\n  mov x4, xzr\n"
        "  svc 0\n"
        "  cbz x0, 1f\n"
        "  ret\n"
        "1: ldp x9, xzr, [sp], #16\n"
        "  blr x9\n");

static char stacks[8][16384] __attribute__((aligned(16)));

static void marks(u64 threads)
{
    for (u64 i = 1; i < threads; i++)
        start_thread(helper, stacks[i] + sizeof stacks[i]);
    for (int round = 1; round <= ROUNDS; round++) {
        call(MARK, 2 * (round - 1), 0, 0, 0, 0);
        __atomic_store_n(&round_now, round, __ATOMIC_RELEASE);
        work();
        while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < (int)(threads - 1) * round)
            ;
        call(MARK, 2 * (round - 1) + 1, 0, 0, 0, 0);
    }
}

static void clock(i64 id)
{
    i64 at[2];
    call(CLOCK_GETTIME, id, (i64)at, 0, 0, 0);
    put_number((u64)at[0] * 1000000000 + (u64)at[1]);
}

static void cores(u64 mask)
{
    u64 now = 0;
    unsigned core = 0;
    put_number((u64)-call(SET_AFFINITY, 0, sizeof mask, (i64)&mask, 0, 0));
    call(GET_AFFINITY, 0, sizeof now, (i64)&now, 0, 0);
    put_number(now);
    call(GETCPU, (i64)&core, 0, 0, 0, 0);
    put_number(core);
}

__attribute__((used)) static void run(u64 *stack)
{
    u64 count = stack[0];
    char **words = (char **)(stack + 1);
    char what = count > 1 ? words[1][0] : 0;
    u64 value = count > 2 ? number(words[2]) : 1, code = 0;
    if (what == 'e')
        put("hello\n"), code = value;
    else if (what == 'm')
        marks(value);
    else if (what == 'c' && words[1][1] == 'l')
        clock(0), clock(1);
    else if (what == 'c')
        cores(value);
    else if (what == 'd')
        __asm__ volatile(".inst 0x4e829420" ::: "v0"); /* sdot v0.4s, v1.16b, v2.16b */
    else if (what == 'w')
        call(NANOSLEEP, (i64)(i64[2]){3600, 0}, 0, 0, 0, 0);
    call(EXIT_GROUP, (i64)code, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n  mov x0, sp\n  bl run\n");
