/* Programs with a descriptor, or a number that stands for one, in place of a map's symbol. `right` is a program as it should be.
 * Built: clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c literal.bpf.c -o literal.bpf.o; llvm-strip -g literal.bpf.o */
#include "../../../testdata/verifier/program.h"

struct { MEMBER(type, ARRAY); u32 *key; u64 *value; MEMBER(max_entries, 1); } unrelated SEC(".maps");

/* A lookup in what the instruction names: its kind in the upper half of its second byte, its number in the upper half of the first word. */
#define LOOKUP(name, first, second) \
	SEC("xdp") NAKED int name(struct xdp_md *context) \
	{ \
		ASM("r1 = 0; *(u32 *)(r10 - 4) = w1; r2 = r10; r2 += -4;" \
		    ".8byte " first "; .8byte " second ";" \
		    "call 1; if r0 == 0 goto +2; r0 = 2; exit; r0 = 1; exit"); \
	}

LOOKUP(map_zero, "0x0000000000001118", "0")
LOOKUP(map_big, "0x7fffffff00001118", "0")
LOOKUP(map_negative, "0xffffffff00001118", "0")
LOOKUP(map_index, "0x0000000000005118", "0")

#define VALUE(name, first, second) \
	SEC("xdp") NAKED int name(struct xdp_md *context) \
	{ \
		ASM(".8byte " first "; .8byte " second "; r0 = *(u32 *)(r1 + 0); exit"); \
	}

VALUE(value_zero, "0x0000000000002118", "0")
VALUE(value_offset, "0x0000000300002118", "0x0000000400000000")
VALUE(value_index, "0x0000000000006118", "0")

/* The address of a function, without a relocation to it. */
SEC("xdp") NAKED int function_address(struct xdp_md *context)
{
	ASM("r1 = 1; .8byte 0x0000000600004218; .8byte 0; r3 = 0; r4 = 0; call 181; r0 = 2; exit");
}

/* In a function that the program calls. */
static NAKED NOINLINE u64 inner(void)
{
	ASM("r1 = 0; .8byte 0x0000000000001118; .8byte 0; r0 = r1; exit");
}

SEC("xdp") int called(struct xdp_md *context)
{
	return inner() ? 2 : 1;
}

SEC("xdp") int right(struct xdp_md *context)
{
	u32 key = 0;
	return map_lookup(&unrelated, &key) ? 2 : 1;
}
