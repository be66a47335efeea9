/* Programs that are refused where they are loaded with CAP_BPF and CAP_NET_ADMIN and no more. Each is named for the rule (lab/src/verifier/rule);
 * the line that it stops at bears an arrow, with words of what is said of the registers. Built by `make`. */
#include "program.h"

struct { MEMBER(type, HASH); u32 *key; u64 *value; MEMBER(max_entries, 16); } table SEC(".maps");

SEC("xdp") int pointer_leak(struct xdp_md *context)
{
	u32 key = 0;
	u64 *value = map_lookup(&table, &key);

	if (value)
		*value = (long)value; // <- an address in a map's value of map `table`
	return 2;
}

SEC("xdp") NAKED int pointer_leak__result(struct xdp_md *context)
{
	ASM("r0 = r1");
	ASM("exit"); // <- r0 is the context
}

SEC("xdp") NAKED int pointer_comparison(struct xdp_md *context)
{
	ASM("r0 = 2");
	ASM("if r1 > r10 goto +1"); // <- r1 is the context
	ASM("r0 = 1");
	ASM("exit");
}

SEC("xdp") int stack_variable(struct xdp_md *context)
{
	u64 words[4] = {};

	asm volatile("" : : "r"(words) : "memory");
	return words[context->rx_queue_index & 3]; // <-
}

SEC("xdp") NAKED int stack_bounds(struct xdp_md *context)
{
	ASM("r0 = *(u64 *)(r10 - 8)"); // <-
	ASM("exit");
}


SEC("xdp") NAKED int arithmetic_prohibited(struct xdp_md *context)
{
	ASM("r1 = be64 r1"); // <- r1 is the context
	ASM("r0 = 2");
	ASM("exit");
}

struct value { u64 words[4]; };
struct { MEMBER(type, HASH); u64 *key; struct value *value; MEMBER(max_entries, 16); } wide SEC(".maps");

SEC("xdp") int stack_argument_unwritten(struct xdp_md *context)
{
	struct { u32 key, padding; } words;
	struct value value;

	value.words[0] = 1;
	words.key = 0;
	asm volatile("" : : "r"(&value), "m"(value));
	return map_update(&wide, &words, &value, 0); // <-
}
