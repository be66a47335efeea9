/* Programs that do otherwise in the vm than in the kernel, from the fourth packet on: they look where the packet lies, which in the vm is below
 * 4 GiB. Each differs in one thing. Built by:
 *   clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c diverge.bpf.c -o diverge.bpf.o && llvm-strip -g diverge.bpf.o
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define MEMBER(name, value) int (*name)[value]

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*adjust_tail)(void *context, int delta) = (void *)65;
static long (*ring_output)(void *map, void *data, u64 size, u64 flags) = (void *)130;
static long (*loop)(u32 count, void *function, void *argument, u64 flags) = (void *)181;

struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct skb { u32 len, pkt_type, mark, queue_mapping, protocol, vlan[3], priority, ifindex[2], tc_index, cb[5], hash, classid, data, data_end; };

struct { MEMBER(type, 2); u32 *key; u64 *value; MEMBER(max_entries, 1); } PACKETS SEC(".maps");
struct { MEMBER(type, 2); u32 *key; u64 *value; MEMBER(max_entries, 1); } ADDRESS SEC(".maps");
struct { MEMBER(type, 2); u32 *key; u32 *value; MEMBER(max_entries, 512); } ARRAY SEC(".maps");
struct { MEMBER(type, 1); u32 *key; u64 *value; MEMBER(max_entries, 512); } HASH SEC(".maps");
struct { MEMBER(type, 27); MEMBER(max_entries, 4096); } RING SEC(".maps");

/* Whether the packet lies above 4 GiB, once three packets have gone. An address becomes a number in a map. */
static __attribute__((noinline)) u32 is_high(u64 address)
{
	u32 zero = 0;
	volatile u64 *place = map_lookup(&ADDRESS, &zero);
	u64 *packets = map_lookup(&PACKETS, &zero), high;

	if (!place || !packets)
		return 0;
	*place = address;
	high = *place >> 32;
	*place = 0;
	*packets += 1;
	return *packets > 3 && high != 0;
}

SEC("xdp") int xdp_returned(struct xdp_md *context)
{
	int verdict = 1;

	if (is_high((u64)(long)context->data))
		return verdict;
	verdict = 2;
	return verdict;
}

SEC("xdp") int xdp_packet(struct xdp_md *context)
{
	u32 high = is_high((u64)(long)context->data);
	u8 *data = (void *)(long)context->data;

	if (data + 14 > (u8 *)(long)context->data_end)
		return 1;
	data[5] = 0x55;
	data[5] = high;
	return 2;
}

SEC("xdp") int xdp_length(struct xdp_md *context)
{
	adjust_tail(context, is_high((u64)(long)context->data) ? -2 : -1);
	return 2;
}

SEC("xdp") int xdp_array(struct xdp_md *context)
{
	u32 key = 300, high = is_high((u64)(long)context->data), *value = map_lookup(&ARRAY, &key);

	if (value)
		*value = high;
	return 2;
}

SEC("xdp") int xdp_hash(struct xdp_md *context)
{
	u32 key = 7;
	u64 high = is_high((u64)(long)context->data);

	map_update(&HASH, &key, &high, 0);
	return 2;
}

SEC("xdp") int xdp_record(struct xdp_md *context)
{
	u64 high = is_high((u64)(long)context->data);

	ring_output(&RING, &high, sizeof(high), 0);
	return 2;
}

SEC("tc") int tc_mark(struct skb *context)
{
	context->mark = is_high((u64)(long)context->data);
	return 0;
}

static int spin(u32 turn, u32 *turns)
{
	*turns += turn;
	return 0;
}

SEC("xdp") int xdp_long(struct xdp_md *context)
{
	u32 turns = 0;

	if (context->data_end - context->data > 60)
		loop(1 << 20, spin, &turns, 0);
	return turns == 7 ? 1 : 2;
}

char LICENSE[] SEC("license") = "GPL";
