/* Programs that the verifier refuses for their arithmetic upon addresses. Each is named for the rule (lab/src/verifier/rule); the line that it
 * stops at bears an arrow, with words of what is said of the registers. Built by `make`. */
#include "program.h"

struct { MEMBER(type, HASH); u32 *key; u64 *value; MEMBER(max_entries, 16); } table SEC(".maps");

SEC("xdp") int arithmetic_before_null_check(struct xdp_md *context)
{
	u32 key = 0;
	u64 value = (u64)map_lookup(&table, &key);

	OPAQUE(value);
	value += 4; // <- what a map lookup gave, the address of a value or null
	OPAQUE(value);
	return value ? *(u32 *)value : 1;
}

SEC("xdp") NAKED int arithmetic_32_bit(struct xdp_md *context)
{
	ASM("w1 += 1"); // <- r1 is the context
	ASM("r0 = 2");
	ASM("exit");
}

SEC("xdp") NAKED int bitwise_on_pointer(struct xdp_md *context)
{
	ASM("r1 = *(u32 *)(r1 + 0)");
	ASM("r1 &= -4"); // <- an address in the packet
	ASM("r0 = *(u8 *)(r1 + 0)");
	ASM("exit");
}

SEC("xdp") int arithmetic_operator(struct xdp_md *context)
{
	u64 data = context->data;

	data <<= 1; // <- an address in the packet
	return *(u8 *)data;
}

SEC("xdp") int arithmetic_kind(struct xdp_md *context)
{
	u8 *data = (u8 *)(long)context->data, *end = (u8 *)(long)context->data_end;

	if (end - 4 < data) // <- the packet's end
		return 1;
	return *(end - 4);
}

SEC("xdp") NAKED int pointer_and_pointer(struct xdp_md *context)
{
	ASM("r2 = r10");
	ASM("r1 += r2"); // <- r1 is the context
	ASM("r0 = *(u32 *)(r1 + 0)");
	ASM("exit");
}

SEC("xdp") NAKED int pointer_from_number(struct xdp_md *context)
{
	ASM("r0 = 1");
	ASM("r0 -= r1"); // <- r0 is the number 1
	ASM("r0 = *(u32 *)(r0 + 0)");
	ASM("exit");
}

SEC("xdp") NAKED int stack_subtraction(struct xdp_md *context)
{
	ASM("r0 = 8");
	ASM("r2 = r10");
	ASM("r2 -= r0"); // <- the end of the frame on the stack
	ASM("r0 = *(u64 *)(r2 + 0)");
	ASM("exit");
}

SEC("xdp") int offset_unbounded(struct xdp_md *context)
{
	u32 key = 0;
	u8 *value = map_lookup(&table, &key);

	if (!value)
		return 1;
	value += 1 << 29; // <-
	OPAQUE(value);
	return *value;
}

SEC("xdp") NAKED int frame_pointer(struct xdp_md *context)
{
	ASM("r10 = 0"); // <-
	ASM("r0 = 2");
	ASM("exit");
}

SEC("xdp") NAKED int one_instruction_two_kinds(struct xdp_md *context)
{
	ASM("r0 = 7");
	ASM("*(u64 *)(r10 - 8) = r0");
	ASM("r2 = r10");
	ASM("r2 += -8");
	ASM("r3 = *(u32 *)(r1 + 12)");
	ASM("if r3 == 1 goto +1");
	ASM("r2 = r1");
	ASM("r0 = *(u32 *)(r2 + 0)"); // <-
	ASM("exit");
}
