/* A function that calls itself: a fault of the whole program. `deep` calls too deep on one path.
 * Built: clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c recursion.bpf.c -o recursion.bpf.o; llvm-strip -g recursion.bpf.o */
#include "../../../testdata/verifier/program.h"

static NAKED NOINLINE u64 again(void)
{
	asm volatile("r1 += 1; if r1 < 4 goto +1; exit; call %[again]; exit" ::[again] "i"(again));
}

SEC("xdp") NAKED int recursion(struct xdp_md *context)
{
	asm volatile("r1 = 0; call %[again]; r0 = 2; exit" ::[again] "i"(again));
}
