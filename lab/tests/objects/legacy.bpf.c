/* Maps as libbpf of old took them (`struct bpf_map_def` in section `maps`), in an object without types and lines. Built by:
 *   clang -O2 -target bpf -mcpu=v3 -c legacy.bpf.c -o legacy.bpf.o
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*clock_ns)(void) = (void *)5;
static long (*perf_output)(void *context, void *map, u64 flags, void *data, u64 size) = (void *)25;

struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct seen { u64 time_ns, bytes; };

struct bpf_map_def SEC("maps") KINDS = { 1, sizeof(u16), sizeof(struct seen), 128, 1 };
struct bpf_map_def SEC("maps") COUNTS = { .type = 6, .key_size = 4, .value_size = 8, .max_entries = 256 };
struct bpf_map_def SEC("maps") EVENTS = { .type = 4, .key_size = 4, .value_size = 4, .max_entries = 4 };

volatile const u32 VERDICT = 2;
u64 total;

static __attribute__((noinline)) u64 sum(const u8 *bytes)
{
	u64 sum = 0;

#pragma clang loop unroll(disable)
	for (int index = 0; index < 12; index++)
		sum += bytes[index];
	return sum;
}

SEC("xdp") int xdp_legacy(struct xdp_md *context)
{
	u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end, copy[12];
	struct seen fresh = { clock_ns(), end - data }, *seen;
	u32 length = (end - data) & 255;
	u64 *count = map_lookup(&COUNTS, &length);
	u16 kind;

	if (data + 14 > end)
		return 1;
	kind = data[12] << 8 | data[13];
	if (count)
		*count += 1;
	seen = map_lookup(&KINDS, &kind);
	if (seen)
		seen->bytes += fresh.bytes;
	else
		map_update(&KINDS, &kind, &fresh, 1);
	__builtin_memcpy(copy, data, 12);
	total += sum(copy);
	perf_output(context, &EVENTS, 0xffffffff, &total, sizeof(total));
	return VERDICT;
}

char LICENSE[] SEC("license") = "GPL";
