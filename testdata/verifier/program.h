/* What the programs beside this file share. Helpers by their numbers, as in `man bpf-helpers`. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define NAKED __attribute__((naked))
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#define MEMBER(name, value) int (*name)[value]
#define ASM(text) asm volatile(text)
/* The compiler knows nothing of the value from here on. */
#define OPAQUE(value) asm volatile("" : "+r"(value))

enum { HASH = 1, ARRAY, PROG_ARRAY, PERF_EVENTS, RING = 27 };

struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct skb { u32 len, pkt_type, mark, queue_mapping, protocol, vlan[3], priority, ifindex[2], tc_index, cb[5], hash, classid, data, data_end; };
struct bpf_spin_lock { u32 value; };
struct bpf_timer { u64 opaque[2]; } __attribute__((aligned(8)));

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*probe_read)(void *to, u32 size, const void *from) = (void *)4;
static u64 (*clock_ns)(void) = (void *)5;
static long (*trace)(const char *format, u32 size, ...) = (void *)6;
static u32 (*random)(void) = (void *)7;
static long (*skb_store_bytes)(void *context, u32 offset, const void *from, u32 size, u64 flags) = (void *)9;
static long (*tail_call)(void *context, void *map, u32 index) = (void *)12;
static long (*skb_vlan_push)(void *context, u16 protocol, u16 vlan) = (void *)18;
static long (*perf_output)(void *context, void *map, u64 flags, const void *data, u64 size) = (void *)25;
static long (*load_bytes)(const void *skb, u32 offset, void *to, u32 size) = (void *)26;
static s64 (*csum_diff)(const void *from, u32 from_size, const void *to, u32 to_size, u32 seed) = (void *)28;
static long (*skb_pull_data)(void *context, u32 size) = (void *)39;
static long (*skb_change_head)(void *context, u32 size, u64 flags) = (void *)43;
static long (*xdp_adjust_head)(void *context, int delta) = (void *)44;
static long (*redirect_map)(void *map, u64 key, u64 flags) = (void *)51;
static long (*xdp_adjust_meta)(void *context, int delta) = (void *)54;
static long (*xdp_adjust_tail)(void *context, int delta) = (void *)65;
static void *(*sk_lookup_tcp)(void *context, void *tuple, u32 size, u64 netns, u64 flags) = (void *)84;
static long (*sk_release)(void *sock) = (void *)86;
static long (*spin_lock)(void *lock) = (void *)93;
static long (*spin_unlock)(void *lock) = (void *)94;
static void *(*tcp_sock)(void *sock) = (void *)96;
static void *(*ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*ring_submit)(void *record, u64 flags) = (void *)132;
static void (*ring_discard)(void *record, u64 flags) = (void *)133;
static long (*copy_from_user)(void *to, u32 size, const void *from) = (void *)148;
static long (*timer_init)(void *timer, void *map, u64 flags) = (void *)169;
static long (*probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*loop)(u32 count, void *callback, void *context, u64 flags) = (void *)181;
static long (*dynptr_from_mem)(void *data, u32 size, u64 flags, void *dynptr) = (void *)197;
static long (*ring_reserve_dynptr)(void *ring, u32 size, u64 flags, void *dynptr) = (void *)198;
static void (*ring_submit_dynptr)(void *dynptr, u64 flags) = (void *)199;
static void (*ring_discard_dynptr)(void *dynptr, u64 flags) = (void *)200;
static long (*dynptr_read)(void *to, u32 size, const void *dynptr, u32 offset, u64 flags) = (void *)201;
static void *(*dynptr_data)(const void *dynptr, u32 offset, u32 size) = (void *)203;

struct dynptr { u64 opaque[2]; } __attribute__((aligned(8)));

char _license[] SEC("license") = "GPL";
