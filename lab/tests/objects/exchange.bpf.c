/* Programs with a 32-bit compare-and-exchange, after which the upper half of r0 is zero (RFC 9669, 5.3).
 *
 * exchange_upper returns that half. Linux 6.18 leaves it as it was: the path that falls through reaches `in` first, where r0 is a whole load;
 * the path that jumps there is pruned, so the verifier does not see that it reads the upper half of what was exchanged. The number of jumps
 * decides where the verifier keeps states to prune by. A frame of IPv4 over Ethernet has the bit that is tested.
 * exchange_lower returns the lower half, which is right.
 *
 * clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c exchange.bpf.c -o exchange.bpf.o && llvm-strip -g exchange.bpf.o
 */
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))
#define JA "goto +0;"

/* The instruction by its bytes is `w0 = cmpxchg32(r10-8, w0, w3)`: zero is there, r0 has zero in its lower half, so it exchanges. */
#define EXCHANGE                                                  \
	"r0 = 0x8000000000000000 ll; r3 = 0; *(u64 *)(r10 - 8) = r3;" \
	".8byte 0x000000f1fff83ac3;"

SEC("xdp") __attribute__((naked)) int exchange_upper(struct xdp_md *context)
{
	asm volatile("r6 = *(u32 *)(r1 + 0); r2 = *(u32 *)(r1 + 4); r3 = r6; r3 += 20; r0 = 7;"
		     "if r3 > r2 goto out_%=;"
		     "r9 = *(u64 *)(r6 + 12);" EXCHANGE
		     "if w9 & 0x8 goto in_%=;"
		     "r0 = *(u64 *)(r6 + 8);" JA JA JA JA JA JA JA JA JA
		     "in_%=: r0 >>= 32;"
		     "out_%=: exit;" ::: "r0");
}

SEC("xdp") __attribute__((naked)) int exchange_lower(struct xdp_md *context)
{
	asm volatile("r6 = *(u32 *)(r1 + 0); r2 = *(u32 *)(r1 + 4); r3 = r6; r3 += 20; r0 = 7;"
		     "if r3 > r2 goto out_%=;" EXCHANGE
		     "w0 += 3;"
		     "out_%=: exit;" ::: "r0");
}

char _license[] SEC("license") = "GPL";
