/* Programs that the verifier refuses for their calls. Each is named for the rule (lab/src/verifier/rule); the line that it stops at bears an arrow,
 * with words of what is said of the registers. Built by `make`. */
#include "program.h"

struct { MEMBER(type, HASH); u32 *key; u64 *value; MEMBER(max_entries, 16); } table SEC(".maps");
struct { MEMBER(type, RING); MEMBER(max_entries, 4096); } ring SEC(".maps");
struct { MEMBER(type, PROG_ARRAY); MEMBER(key_size, 4); MEMBER(value_size, 4); MEMBER(max_entries, 1); } programs SEC(".maps");
struct { MEMBER(type, PERF_EVENTS); MEMBER(key_size, 4); MEMBER(value_size, 4); } events SEC(".maps");

static long (*nowhere)(void) = (void *)9999;
static long (*snprintf)(char *text, u32 size, const char *format, u64 *data, u32 length) = (void *)165;

SEC("xdp") int helper_unknown(struct xdp_md *context)
{
	return nowhere(); // <-
}

SEC("xdp") int helper_program_type(struct xdp_md *context)
{
	u64 word;

	return load_bytes(context, 0, &word, sizeof(word)); // <-
}

SEC("xdp") int size_zero__key(struct xdp_md *context)
{
	u32 key = 0;

	return map_lookup(&ring, &key) != 0; // <-
}

SEC("xdp") int map_kind(struct xdp_md *context)
{
	return redirect_map(&table, 0, 0); // <-
}

SEC("tc") int argument_null(struct skb *context)
{
	u32 tuple[3] = {};
	void *sock = sk_lookup_tcp(context, tuple, sizeof(tuple), -1, 0);

	sk_release(sock); // <- a socket, or null
	return 0;
}

SEC("xdp") int argument_null__key(struct xdp_md *context)
{
	u32 key = 0;
	u64 *value = map_lookup(&table, &key);

	return map_lookup(&table, value) != 0; // <- what a map lookup gave, the address of a value or null
}

SEC("xdp") int argument_constant(struct xdp_md *context)
{
	u64 size = context->rx_queue_index;
	void *record = ring_reserve(&ring, size, 0); // <- r2 is a number from 0 to 0xffffffff

	if (record)
		ring_discard(record, 0);
	return 2;
}

SEC("tc") int size_negative(struct skb *context)
{
	u8 bytes[16];
	s64 size = clock_ns();

	if (size > 16)
		return 0;
	return perf_output(context, &events, 0, bytes, size); // <- with its sign
}

SEC("tc") int size_unbounded(struct skb *context)
{
	u8 bytes[16];
	u64 size = context->len;

	if (!size)
		return 0;
	return load_bytes(context, 0, bytes, size); // <- r4 is a number from 1 to 0xffffffff
}

SEC("tc") int size_zero(struct skb *context)
{
	u8 bytes[16];

	return load_bytes(context, 0, bytes, context->len & 15); // <- r4 is a number from 0 to 15
}

char format[4] = "%d";

SEC("xdp") int string_argument(struct xdp_md *context)
{
	char text[8];
	u64 data[1] = {};

	return snprintf(text, sizeof(text), format, data, sizeof(data)); // <- an address in a map's value
}

SEC("xdp") int argument_kind(struct xdp_md *context)
{
	u32 key = 0;

	return map_lookup(context, &key) != 0; // <- r1 is the context
}

SEC("xdp") int argument_kind__number(struct xdp_md *context)
{
	return map_lookup(&table, (void *)8) != 0; // <- r2 is the number 8
}

SEC("xdp") int tail_call_map(struct xdp_md *context)
{
	tail_call(context, &table, 0); // <-
	return 2;
}

NOINLINE int sum(struct xdp_md *context, u64 *numbers)
{
	return numbers ? numbers[0] + context->rx_queue_index : 0;
}

SEC("xdp") int function_arguments(struct xdp_md *context)
{
	return sum((void *)8, 0); // <-
}

NOINLINE int inner(void *opaque)
{
	return opaque ? *(int *)opaque : 0;
}

SEC("xdp") int function_arguments__void(struct xdp_md *context)
{
	return inner(context);
}

int global_callback(u32 index, void *context)
{
	return 0;
}

SEC("xdp") int callback(struct xdp_md *context)
{
	loop(3, global_callback, 0, 0);
	return 2;
}
