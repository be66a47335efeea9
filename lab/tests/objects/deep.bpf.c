/* What needs types and first entries: a tail call through a program array with static values, a callback, an array of maps, a static and a
 * global function, the clock and the generator. Built by:
 *   clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c deep.bpf.c -o deep.bpf.o && llvm-strip -g deep.bpf.o
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define MEMBER(name, value) int (*name)[value]

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*clock_ns)(void) = (void *)5;
static u32 (*draw)(void) = (void *)7;
static long (*tail_call)(void *context, void *map, u32 index) = (void *)12;
static long (*loop)(u32 turns, void *function, void *context, u64 flags) = (void *)181;

struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };

struct counts {
    MEMBER(type, 2);
    MEMBER(max_entries, 4);
    u32 *key;
    u64 *value;
};

struct counts FIRST SEC(".maps");
struct counts SECOND SEC(".maps");

struct {
    MEMBER(type, 12);
    MEMBER(max_entries, 2);
    u32 *key;
    struct counts *values[];
} TABLES SEC(".maps") = { .values = { &FIRST, &SECOND } };

int xdp_last(struct xdp_md *context);

struct {
    MEMBER(type, 3);
    MEMBER(max_entries, 2);
    MEMBER(key_size, 4);
    int (*values[])(struct xdp_md *);
} NEXT SEC(".maps") = { .values = { [1] = &xdp_last } };

struct sum { u64 total; };

static long add(u32 turn, struct sum *sum)
{
    sum->total += turn + (draw() & 3);
    return 0;
}

__attribute__((noinline)) int count(u32 table, u64 amount)
{
    u32 index = table & 1, key = table & 3;
    void *counts = map_lookup(&TABLES, &index);
    if (!counts)
        return 1;
    u64 *value = map_lookup(counts, &key);
    if (!value)
        return 2;
    *value += amount;
    return 0;
}

SEC("xdp")
int xdp_deep(struct xdp_md *context)
{
    u32 length = context->data_end - context->data;
    struct sum sum = {};
    loop(length & 15, add, &sum, 0);
    if (count(length, sum.total))
        return 0;
    tail_call(context, &NEXT, length & 1);
    return 1;
}

SEC("xdp")
int xdp_last(struct xdp_md *context)
{
    return count(2, clock_ns()) ? 0 : 2;
}

char LICENSE[] SEC("license") = "GPL";
