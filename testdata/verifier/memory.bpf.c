/* Programs that the verifier refuses for what they read and write. Each is named for the rule (lab/src/verifier/rule); the line that it stops at
 * bears an arrow, with words of what is said of the registers. Built by `make`. */
#include "program.h"

struct value { u64 words[4]; };
struct { MEMBER(type, HASH); u32 *key; struct value *value; MEMBER(max_entries, 16); } table SEC(".maps");
struct { MEMBER(type, ARRAY); u32 *key; u64 *value; MEMBER(max_entries, 1); MEMBER(map_flags, 1 << 7); } only_read SEC(".maps");
struct { MEMBER(type, ARRAY); u32 *key; u64 *value; MEMBER(max_entries, 1); MEMBER(map_flags, 1 << 8); } only_written SEC(".maps");
struct { MEMBER(type, RING); MEMBER(max_entries, 4096); } ring SEC(".maps");
volatile const u64 constant = 7;
struct timed { struct bpf_timer timer; u64 count; };
struct { MEMBER(type, ARRAY); u32 *key; struct timed *value; MEMBER(max_entries, 1); } timers SEC(".maps");

SEC("xdp") int null_check(struct xdp_md *context)
{
	u32 key = context->ingress_ifindex;
	struct value *value = map_lookup(&table, &key);

	value->words[1] = 1; // <- r0 is what a map lookup gave, the address of a value or null
	return 2;
}

SEC("xdp") int scalar_dereference(struct xdp_md *context)
{
	u64 address = context->ingress_ifindex;

	return *(u32 *)address; // <- a number from 0 to 0xffffffff
}

SEC("xdp") int pointer_dereference(struct xdp_md *context)
{
	u8 *end = (u8 *)(long)context->data_end;

	return *end; // <- the packet's end
}

SEC("xdp") int packet_bounds(struct xdp_md *context)
{
	u8 *data = (u8 *)(long)context->data, *end = (u8 *)(long)context->data_end;

	if (data + 14 > end)
		return 1;
	if (data[12] == 8 && data[13] == 0)
		return data[23]; // <- an address in the packet, of whose start 14 bytes were compared with its end
	return 2;
}

SEC("xdp") int map_value_bounds(struct xdp_md *context)
{
	u32 key = 0, index = context->rx_queue_index;
	struct value *value = map_lookup(&table, &key);

	if (!value || index > 4)
		return 1;
	return value->words[index]; // <- of map `table`, which has 32 bytes, at an offset from 0 to 32
}

SEC("xdp") int memory_bounds(struct xdp_md *context)
{
	u64 *record = ring_reserve(&ring, 16, 0);

	if (!record)
		return 1;
	record[2] = 1; // <- a reserved record
	ring_submit(record, 0);
	return 2;
}

SEC("xdp") int index_negative(struct xdp_md *context)
{
	u32 key = 0;
	s64 index = (short)context->rx_queue_index;
	u8 *value = map_lookup(&table, &key);

	if (!value || index > 3)
		return 1;
	return value[index]; // <- with its sign
}

SEC("xdp") int index_unbounded(struct xdp_md *context)
{
	u32 key = 0;
	u64 index = context->rx_queue_index;
	u8 *value = map_lookup(&table, &key);

	if (!value)
		return 1;
	return value[index]; // <- at an offset from 0 to 0xffffffff
}

SEC("xdp") int map_read_forbidden(struct xdp_md *context)
{
	u32 key = 0;
	u64 *value = map_lookup(&only_written, &key);

	return value ? *value : 1; // <-
}

SEC("xdp") int map_write_forbidden(struct xdp_md *context)
{
	u64 *value = (u64 *)&constant;

	OPAQUE(value);
	*value = 8; // <-
	return 2;
}

SEC("xdp") int map_write_forbidden__flag(struct xdp_md *context)
{
	u32 key = 0;
	u64 *value = map_lookup(&only_read, &key);

	if (value)
		*value = 1; // <-
	return 2;
}

static long each(void *map, u32 *key, u64 *value, void *context)
{
	*key = 1; // <- an address in a map's key
	return 0;
}

static long (*for_each)(void *map, void *callback, void *context, u64 flags) = (void *)164;

SEC("xdp") int key_write(struct xdp_md *context)
{
	for_each(&table, each, 0, 0);
	return 2;
}

SEC("cgroup_skb/ingress") int packet_write(struct skb *context)
{
	u8 *data = (u8 *)(long)context->data, *end = (u8 *)(long)context->data_end;

	if (data + 1 > end)
		return 1;
	*data = 1; // <-
	return 1;
}

SEC("xdp") int atomic_target(struct xdp_md *context)
{
	u64 *data = (u64 *)(long)context->data, *end = (u64 *)(long)context->data_end;

	if (data + 1 > end)
		return 1;
	__sync_fetch_and_add(data, 1); // <- an address in the packet
	return 2;
}

SEC("xdp") NAKED int context_field(struct xdp_md *context)
{
	ASM("r0 = *(u32 *)(r1 + 64)"); // <- r1 is the context
	ASM("exit");
}

SEC("xdp") int context_field__write(struct xdp_md *context)
{
	context->ingress_ifindex = 7; // <-
	return 2;
}

SEC("xdp") NAKED int context_moved(struct xdp_md *context)
{
	ASM("r2 = *(u32 *)(r1 + 12)");
	ASM("r2 &= 4");
	ASM("r1 += r2");
	ASM("r0 = *(u32 *)(r1 + 0)"); // <- the context, at an offset from 0 to 4
	ASM("exit");
}

SEC("tc") NAKED int socket_field(struct skb *context)
{
	ASM("r1 = *(u64 *)(r1 + 168)");
	ASM("if r1 == 0 goto +1");
	ASM("r0 = *(u64 *)(r1 + 76)"); // <- a socket
	ASM("r0 = 0");
	ASM("exit");
}

SEC("xdp") NAKED int stack_variable(struct xdp_md *context)
{
	ASM("r2 = *(u32 *)(r1 + 12)");
	ASM("r2 &= 1023");
	ASM("r2 = -r2");
	ASM("r3 = r10");
	ASM("r3 += r2");
	ASM("r0 = *(u8 *)(r3 - 8)"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int stack_bounds(struct xdp_md *context)
{
	ASM("r0 = 2");
	ASM("*(u64 *)(r10 - 520) = r0"); // <- the end of the frame on the stack
	ASM("exit");
}

SEC("xdp") NAKED int stack_bounds__read(struct xdp_md *context)
{
	ASM("r0 = *(u64 *)(r10 + 8)"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int stack_bounds__argument(struct xdp_md *context)
{
	ASM("r2 = r10");
	ASM("r2 += -600");
	ASM("r1 = table ll");
	ASM("call 1"); // <- the address of the stack 600 bytes below the frame's end
	ASM("r0 = 2");
	ASM("exit");
}

SEC("socket") NAKED int stack_spill(struct skb *context)
{
	ASM("*(u64 *)(r10 - 8) = r1");
	ASM("r0 = *(u32 *)(r10 - 8)"); // <-
	ASM("exit");
}

SEC("xdp") int special_field(struct xdp_md *context)
{
	u32 key = 0;
	struct timed *timed = map_lookup(&timers, &key);

	if (timed)
		timed->timer.opaque[0] = 0; // <-
	return 2;
}

SEC("xdp") NAKED int misaligned(struct xdp_md *context)
{
	ASM("r0 = 0");
	ASM("*(u64 *)(r10 - 12) = r0"); // <-
	ASM("exit");
}
