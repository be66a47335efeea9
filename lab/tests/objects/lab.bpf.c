/* Programs that use all that the lab compares: return value, packet, metadata, context, maps of several kinds, records, the clock and the
 * generator. No static functions. Built by:
 *   clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c lab.bpf.c -o lab.bpf.o && llvm-strip -g lab.bpf.o
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define MEMBER(name, value) int (*name)[value]

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static u64 (*clock_ns)(void) = (void *)5;
static u32 (*random)(void) = (void *)7;
static long (*perf_output)(void *context, void *map, u64 flags, void *data, u64 size) = (void *)25;
static long (*load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static long (*adjust_meta)(void *context, int delta) = (void *)54;
static long (*push)(void *map, const void *value, u64 flags) = (void *)87;
static u64 (*boot_ns)(void) = (void *)125;
static long (*ring_output)(void *map, void *data, u64 size, u64 flags) = (void *)130;

struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct skb { u32 len, pkt_type, mark, queue_mapping, protocol, vlan[3], priority, ifindex[2], tc_index, cb[5], hash, classid, data, data_end; };
struct seen { u64 time_ns; u32 random, length; };

struct { MEMBER(type, 1); u32 *key; struct seen *value; MEMBER(max_entries, 4096); } HASH SEC(".maps");
struct { MEMBER(type, 6); u32 *key; u64 *value; MEMBER(max_entries, 4); } COUNTS SEC(".maps");
struct { MEMBER(type, 2); u32 *key; u64 *value; MEMBER(max_entries, 256); } LENGTHS SEC(".maps");
struct { MEMBER(type, 22); u32 *value; MEMBER(max_entries, 16); } QUEUE SEC(".maps");
struct { MEMBER(type, 27); MEMBER(max_entries, 4096); } RING SEC(".maps");
struct { MEMBER(type, 4); u32 *key; u32 *value; MEMBER(max_entries, 1); } PERF SEC(".maps");

volatile const u32 VERDICT = 2;
u64 total;

SEC("xdp") int xdp_lab(struct xdp_md *context)
{
	struct seen seen = { clock_ns(), random(), context->data_end - context->data };
	u32 key = seen.random & 1023, which = seen.length & 255, zero = 0;
	u64 *count = map_lookup(&COUNTS, &zero), *length = map_lookup(&LENGTHS, &which);
	u8 *data, *end;

	total += seen.length;
	if (count)
		*count += 1;
	if (length)
		*length += boot_ns() & 255;
	if (seen.random & 4096)
		map_delete(&HASH, &key);
	else
		map_update(&HASH, &key, &seen, 0);
	push(&QUEUE, &key, 2);
	ring_output(&RING, &seen, sizeof(seen), 0);
	perf_output(context, &PERF, 0xffffffff, &seen, 12);
	if (seen.random & 2048)
		adjust_meta(context, -8);
	data = (void *)(long)context->data_meta;
	end = (void *)(long)context->data;
	if (data + 8 <= end)
		*(u64 *)data = seen.time_ns;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	if (data + 14 > end)
		return 1;
	data[0] ^= key;
	return data[12] == 8 ? VERDICT : key & 1;
}

SEC("classifier") int tc_lab(struct skb *context)
{
	u32 zero = 0;
	u64 *count = map_lookup(&COUNTS, &zero);

	context->mark = random();
	context->priority = context->len;
	context->cb[1] = (u32)clock_ns();
	if (count)
		*count += context->mark;
	return context->mark & 1 ? 2 : 0;
}

SEC("socket") int socket_lab(struct skb *context)
{
	u8 bytes[4] = {};
	u32 zero = 0;
	u64 *count = map_lookup(&COUNTS, &zero);

	load_bytes(context, 12, bytes, 2);
	if (count)
		*count += bytes[0];
	context->cb[0] = context->protocol;
	return bytes[0] * 256 + bytes[1] + (random() & 7);
}

char LICENSE[] SEC("license") = "GPL";
