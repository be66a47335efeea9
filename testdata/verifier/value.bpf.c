/* Programs that the verifier refuses for registers and results. Each is named for the rule (lab/src/verifier/rule); the line that it stops at
 * bears an arrow, with words of what is said of the registers. Built by `make`. */
#include "program.h"

SEC("xdp") NAKED int result_missing(struct xdp_md *context)
{
	ASM("exit"); // <-
}

SEC("xdp") NAKED int register_unwritten(struct xdp_md *context)
{
	ASM("call 7");
	ASM("r0 = *(u32 *)(r1 + 0)"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int register_number(struct xdp_md *context)
{
	ASM(".byte 0xbf, 0xc0, 0, 0, 0, 0, 0, 0"); // <-
	ASM("exit");
}

static long twice(u32 index, void *context)
{
	return 2; // <- r0 is the number 2
}

SEC("xdp") int callback_result(struct xdp_md *context)
{
	loop(3, twice, 0, 0);
	return 2;
}

SEC("cgroup/bind4") NAKED int result_unknown(void *context)
{
	ASM("r0 = r1");
	ASM("exit"); // <- r0 is the context
}

SEC("cgroup/bind4") int result_range(void *context)
{
	return 5; // <- r0 is the number 5
}

NOINLINE NAKED int address(struct xdp_md *context)
{
	ASM("r0 = r10");
	ASM("exit"); // <-
}

SEC("xdp") int function_result(struct xdp_md *context)
{
	return address(context);
}

static NOINLINE NAKED u64 *own(void)
{
	ASM("r0 = r10");
	ASM("exit"); // <- the end of the frame on the stack
}

SEC("xdp") int stack_returned(struct xdp_md *context)
{
	return *own();
}

SEC("xdp") NAKED int division_by_zero(struct xdp_md *context)
{
	ASM("r0 = 6");
	ASM("r0 /= 0"); // <-
	ASM("exit");
}

SEC("xdp") NAKED int shift_too_far(struct xdp_md *context)
{
	ASM("r0 = 6");
	ASM("r0 <<= 64"); // <-
	ASM("exit");
}
