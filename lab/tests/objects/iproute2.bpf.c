/* Maps and tail calls as iproute2 takes them: `struct bpf_elf_map` in section `maps`, an inner map named by its number, programs in sections
 * named `NUMBER/INDEX` that go into the program array of that number. Built by:
 *   clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c iproute2.bpf.c -o iproute2.bpf.o && llvm-strip -g iproute2.bpf.o
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*tail_call)(void *context, void *map, u32 index) = (void *)12;

struct bpf_elf_map { u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx; };
struct skb { u32 len, pkt_type, mark, queue_mapping, protocol, vlan[3], priority, ifindex[2], tc_index, cb[5], hash, classid, data, data_end; };

struct bpf_elf_map SEC("maps") INNER = { .type = 2, .size_key = 4, .size_value = 8, .max_elem = 1, .id = 42, .pinning = 2, .inner_idx = 3 };
struct bpf_elf_map SEC("maps") OUTER = { .type = 12, .size_key = 4, .size_value = 4, .max_elem = 8, .pinning = 2, .inner_id = 42 };
struct bpf_elf_map SEC("maps") JUMPS = { .type = 3, .size_key = 4, .size_value = 4, .max_elem = 4, .id = 0xabc, .pinning = 1 };
struct bpf_elf_map SEC("maps") SEEN = { .type = 9, .size_key = 4, .size_value = 4, .max_elem = 1024, .pinning = 2 };

SEC("classifier") int tc_iproute2(struct skb *context)
{
	u32 three = 3, zero = 0, protocol = context->protocol, length = context->len, *seen = map_lookup(&SEEN, &protocol);
	void *inner = map_lookup(&OUTER, &three);
	u64 *packets;

	map_update(&SEEN, &protocol, &length, 0);
	if (inner) {
		packets = map_lookup(inner, &zero);
		if (packets)
			*packets += 1;
	}
	context->mark = seen ? *seen : 0;
	tail_call(context, &JUMPS, protocol == 8 ? 0 : 2);
	return 2;
}

SEC("0xabc/0") int tc_ip(struct skb *context)
{
	tail_call(context, &JUMPS, 1);
	return -1;
}

SEC("0xabc/1") int tc_last(struct skb *context)
{
	u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;

	context->priority = context->mark + 1;
	return data + 34 > end ? 2 : data[23];
}

char LICENSE[] SEC("license") = "GPL";
