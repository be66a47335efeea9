/* A small flow counter for XDP, TC and socket filters, with what the VM has to know: global constants, zeroed data, an LRU
 * table, a per-CPU array, a function called, a lock by compare-and-exchange, a loop. Built by:
 *   clang-16 -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c flows.bpf.c -o flows.bpf.o && llvm-strip -g flows.bpf.o
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define MEMBER(name, value) int (*name)[value]

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*clock_ns)(void) = (void *)5;
static u32 (*processor)(void) = (void *)8;
static long (*load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static long (*pull_data)(void *skb, u32 len) = (void *)39;

struct flow_key { u32 low, high; u16 low_port, high_port; u32 proto; };
struct flow { u64 first_ns, last_ns, packets, bytes, gap_sum_ns, gap_max_ns; u32 lock, pad; u64 sizes[8]; };
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct skb { u32 len, fields[18], data, data_end; };

struct { MEMBER(type, 9); struct flow_key *key; struct flow *value; MEMBER(max_entries, 1024); } FLOWS SEC(".maps");
struct { MEMBER(type, 2); u32 *key; u64 *value; MEMBER(max_entries, 1); } TOTAL SEC(".maps");
struct { MEMBER(type, 6); u32 *key; u64 *value; MEMBER(max_entries, 4); } STATS SEC(".maps");

volatile const u32 PACKETS_MAX = 1000000;
volatile const u64 WEIGHTS[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
u64 seen;

static __attribute__((noinline)) u64 score(struct flow *flow, u32 salt)
{
	u64 sum = salt;

	if (!flow)
		return 0;
	for (int i = 0; i < 8; i++)
		sum += flow->sizes[i] * WEIGHTS[i];
	return sum;
}

static __attribute__((always_inline)) void count(u32 which)
{
	u64 *value = map_lookup(&STATS, &which);

	if (value)
		*value += 1 + processor() * 1000;
}

SEC("xdp") int xdp_flows(struct xdp_md *context)
{
	u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct flow_key key = {};
	struct flow *flow, fresh = {};
	u64 now = clock_ns(), length = end - data;

	seen++;
	if (data + 38 > end || data[12] != 8 || data[13] != 0) {
		count(0);
		return 2;
	}
	u32 source = *(u32 *)(data + 26), target = *(u32 *)(data + 30);
	u16 source_port = *(u16 *)(data + 34), target_port = *(u16 *)(data + 36);
	int forward = source < target;

	key.low = forward ? source : target;
	key.high = forward ? target : source;
	key.low_port = forward ? source_port : target_port;
	key.high_port = forward ? target_port : source_port;
	key.proto = data[23];
	flow = map_lookup(&FLOWS, &key);
	if (!flow) {
		fresh.first_ns = fresh.last_ns = now;
		if (map_update(&FLOWS, &key, &fresh, 1) < 0)
			count(1);
		flow = map_lookup(&FLOWS, &key);
		if (!flow)
			return 2;
	}
	if (__sync_val_compare_and_swap(&flow->lock, 0, 1) != 0) {
		count(2);
		return 2;
	}
	u64 gap = now - flow->last_ns;

	flow->gap_sum_ns += gap;
	if (gap > flow->gap_max_ns)
		flow->gap_max_ns = gap;
	flow->last_ns = now;
	flow->packets++;
	flow->bytes += length;
	flow->sizes[(length >> 6) & 7]++;
	flow->lock = 0;
	count(3);
	if (flow->packets > PACKETS_MAX)
		return 1;
	return score(flow, key.proto) % 7 == 3 ? 1 : 2;
}

static __attribute__((always_inline)) void total(void)
{
	u32 zero = 0;
	u64 *value = map_lookup(&TOTAL, &zero);

	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("classifier") int tc_count(struct skb *skb)
{
	total();
	if (pull_data(skb, 34) < 0)
		return 2;
	u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	return data + 34 > end ? 2 : data[23];
}

SEC("socket") int socket_count(struct skb *skb)
{
	u8 header[20] = {};

	total();
	if (load_bytes(skb, 14, header, sizeof(header)) < 0)
		return 0;
	return header[9] ? (int)skb->len : 1;
}

char _license[] SEC("license") = "GPL";
