# Code as assemblers and the clang of old give it: no symbol says that it is a function, and one section has no symbol.
# Built: clang -target bpf -c untyped.s -o untyped.bpf.o
	.section xdp,"ax",@progbits
	.globl first
first:
	r1 = 7
	call local
	if r0 == 9 goto LBB0_1
	r0 = 1
	exit
LBB0_1:
	r0 = 2
	exit
	.globl second
second:
	call elsewhere
	exit
local:
	r0 = r1
	r0 += 2
	exit

	.text
	.globl elsewhere
elsewhere:
	r0 = 3
	exit

	.section tc,"ax",@progbits
	r0 = 5
	exit

	.section license,"aw",@progbits
	.asciz "GPL"
