/* Programs that the verifier refuses as a whole: for their jumps, their length, their functions. Each is named for the rule
 * (lab/src/verifier/rule); the line that it stops at bears an arrow, with words of what is said of the registers. Built by `make`. */
#include "program.h"

SEC("xdp") NAKED int endless_loop(struct xdp_md *context)
{
	ASM("r0 = 0");
	ASM("if r0 == 0 goto -1"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int too_many_instructions(struct xdp_md *context)
{
	ASM("r6 = 0");
	ASM("again:\n.rept 2000\nr7 = r6\n.endr");
	ASM("r6 += 1");
	ASM("if r6 < 900000 goto again"); // the verifier goes round until it is tired
	ASM("r0 = 2");
	ASM("exit");
}

SEC("xdp") int too_many_jumps(struct xdp_md *context)
{
	u32 random_bits, sum = 0;

#pragma clang loop unroll(disable)
	for (u32 turn = 0; turn < 10000; turn++) {
		random_bits = random();
		if (random_bits > 7)
			sum += turn;
		OPAQUE(sum);
	}
	return sum;
}

static NOINLINE int deepest(int number)
{
	u64 words[40] = {};

	asm volatile("" : : "r"(words), "r"(number) : "memory");
	return words[number & 7];
}

SEC("xdp") int stack_too_large(struct xdp_md *context)
{
	u64 words[40] = {};

	asm volatile("" : : "r"(words) : "memory");
	return deepest(words[context->rx_queue_index & 7]);
}

static NOINLINE NAKED int deeper(int number)
{
	ASM("call deeper"); // <-
	ASM("exit");
}

SEC("xdp") int calls_too_deep(struct xdp_md *context)
{
	return deeper(1);
}

SEC("xdp") NAKED int jump_out_of_range(struct xdp_md *context)
{
	ASM("r0 = 0");
	ASM("if r0 == 1 goto +9"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int jump_into_constant(struct xdp_md *context)
{
	ASM("r0 = 1");
	ASM("if r0 == 1 goto +1");
	ASM("r0 = 0x1234567890 ll"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int unreachable(struct xdp_md *context)
{
	ASM("r0 = 0");
	ASM("exit");
	ASM("r0 = 1"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int no_end(struct xdp_md *context)
{
	ASM("r0 = 0");
	ASM("if r0 == 1 goto +1");
	ASM("exit");
	ASM("r0 = 1"); // <-
}

SEC("xdp") NAKED int packet_load(struct xdp_md *context)
{
	ASM("r6 = r1");
	ASM("r0 = *(u8 *)skb[12]"); // <-
	ASM("exit");
}

SEC("socket") NAKED int packet_load__context(struct skb *context)
{
	ASM("r6 = 0");
	ASM("r0 = *(u8 *)skb[12]"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int instruction_encoding(struct xdp_md *context)
{
	ASM("r0 = 0");
	ASM(".byte 0xb7, 0x20, 0, 0, 0, 0, 0, 0"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int instruction_encoding__opcode(struct xdp_md *context)
{
	ASM("r0 = 0");
	ASM(".byte 0xff, 0, 0, 0, 0, 0, 0, 0"); // <-
	ASM("exit");
}
