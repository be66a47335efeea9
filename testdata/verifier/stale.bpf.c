/* Programs that the verifier refuses because a call made an address of theirs invalid. Each is named for the rule (lab/src/verifier/rule); the line
 * that it stops at bears an arrow, with words of what is said of the registers, and the call a double one. Built by `make`. */
#include "program.h"

struct { MEMBER(type, RING); MEMBER(max_entries, 4096); } ring SEC(".maps");
struct { MEMBER(type, PROG_ARRAY); MEMBER(key_size, 4); MEMBER(value_size, 4); MEMBER(max_entries, 1); } programs SEC(".maps");

#define DATA(context) ((u8 *)(long)(context)->data)
#define END(context) ((u8 *)(long)(context)->data_end)

SEC("xdp") int packet_pointer_stale(struct xdp_md *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 1;
	if (xdp_adjust_head(context, -8)) // <=
		return 1;
	data[0] = 1; // <- up to instruction
	return 2;
}

SEC("xdp") int packet_pointer_stale__tail(struct xdp_md *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 1;
	xdp_adjust_tail(context, -8); // <=
	return data[13]; // <- an address in the packet
}

SEC("xdp") int packet_pointer_stale__meta(struct xdp_md *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 1;
	xdp_adjust_meta(context, -4); // <=
	return data[12]; // <-
}

/* The address in the metadata goes the same way. */
SEC("xdp") int packet_pointer_stale__in_meta(struct xdp_md *context)
{
	u32 *meta = (u32 *)(long)context->data_meta;

	if ((u8 *)(meta + 1) > DATA(context))
		return 1;
	xdp_adjust_head(context, 4); // <=
	*meta = 7; // <- an address in the packet's metadata
	return 2;
}

SEC("tc") int packet_pointer_stale__pull(struct skb *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 2;
	if (skb_pull_data(context, 64)) // <=
		return 2;
	return data[13]; // <-
}

SEC("tc") int packet_pointer_stale__change_head(struct skb *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 2;
	skb_change_head(context, 4, 0); // <=
	return data[13]; // <-
}

SEC("tc") int packet_pointer_stale__store_bytes(struct skb *context)
{
	u8 *data = DATA(context), byte = 1;

	if (data + 14 > END(context))
		return 2;
	skb_store_bytes(context, 0, &byte, 1, 0); // <=
	return data[13]; // <-
}

SEC("tc") int packet_pointer_stale__vlan_push(struct skb *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 2;
	skb_vlan_push(context, 0x81, 5); // <=
	return data[13]; // <-
}

/* A tail call that fails comes back, and has changed nothing. */
SEC("tc") int packet_pointer_stale__tail_call(struct skb *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 2;
	tail_call(context, &programs, 0);
	skb_pull_data(context, 64); // <=
	return data[13]; // <-
}

/* Only the second call is to blame: the address was read again after the first. */
SEC("tc") int packet_pointer_stale__second(struct skb *context)
{
	u8 *data;

	skb_pull_data(context, 64);
	data = DATA(context);
	if (data + 14 > END(context))
		return 2;
	clock_ns();
	skb_vlan_push(context, 0x81, 5); // <=
	clock_ns();
	return data[13]; // <-
}

/* The address waits on the stack, and a copy with an offset is used. */
SEC("tc") NAKED int packet_pointer_stale__spilled(struct skb *context)
{
	ASM("r6 = r1");
	ASM("r2 = *(u32 *)(r1 + 76)");
	ASM("r3 = *(u32 *)(r1 + 80)");
	ASM("r4 = r2");
	ASM("r4 += 14");
	ASM("if r4 > r3 goto +8");
	ASM("r2 += 2");
	ASM("*(u64 *)(r10 - 24) = r2");
	ASM("r2 = 64");
	ASM("call 39"); // <=
	ASM("r7 = *(u64 *)(r10 - 24)");
	ASM("r8 = r7");
	ASM("r8 += 3");
	ASM("r0 = *(u8 *)(r8 + 1)"); // <- r8 is a number; up to instruction
	ASM("r0 = 0");
	ASM("exit");
}

/* A branch between the two, which the log begins with all registers. */
SEC("tc") int packet_pointer_stale__branch(struct skb *context)
{
	u8 *data = DATA(context);
	u32 sum = 0;

	if (data + 14 > END(context))
		return 2;
	skb_vlan_push(context, 0x81, 5); // <=
	for (u32 turn = 0; turn < random() % 8; turn++)
		sum += turn;
	OPAQUE(sum);
	return data[13]; // <-
}

/* A helper that only reads the packet, and one that is given the address. */
SEC("tc") int packet_pointer_stale__argument(struct skb *context)
{
	u8 *data = DATA(context);

	if (data + 16 > END(context))
		return 2;
	skb_pull_data(context, 64); // <=
	return csum_diff(0, 0, data, 16, 0); // <- an address in the packet
}

static NOINLINE int pull(struct skb *context)
{
	return skb_pull_data(context, 64); // <=
}

SEC("tc") int packet_pointer_stale__static(struct skb *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 2;
	pull(context);
	return data[13]; // <-
}

/* Global functions take the context by its name. */
struct __sk_buff { u32 len; };

NOINLINE int widen(struct __sk_buff *context)
{
	return clock_ns() ? skb_change_head(context, 8, 0) : 0;
}

NOINLINE int prepare(struct __sk_buff *context)
{
	return widen(context) + 1;
}

SEC("tc") int packet_pointer_stale__global(struct skb *context)
{
	u8 *data = DATA(context);

	if (data + 14 > END(context))
		return 2;
	prepare((struct __sk_buff *)context); // <=
	return data[13]; // <-
}

SEC("xdp") int use_after_release(struct xdp_md *context)
{
	u64 *record = ring_reserve(&ring, 8, 0);

	if (!record)
		return 2;
	*record = 1;
	ring_submit(record, 0); // <=
	*record = 2; // <- a reserved record
	return 2;
}

SEC("xdp") int use_after_release__discard(struct xdp_md *context)
{
	u64 *record = ring_reserve(&ring, 16, 0);

	if (!record)
		return 2;
	*record = 1;
	ring_discard(record, 0); // <=
	return record[1]; // <-
}

SEC("xdp") int use_after_release__twice(struct xdp_md *context)
{
	u64 *record = ring_reserve(&ring, 8, 0);

	if (!record)
		return 2;
	*record = 1;
	ring_discard(record, 0); // <=
	ring_submit(record, 0); // <-
	return 2;
}

/* Of two records the one that was submitted. */
SEC("xdp") int use_after_release__second(struct xdp_md *context)
{
	u64 *one = ring_reserve(&ring, 8, 0), *two;

	if (!one)
		return 2;
	two = ring_reserve(&ring, 8, 0);
	if (!two) {
		ring_discard(one, 0);
		return 2;
	}
	ring_submit(two, 0); // <=
	*one = 1;
	ring_submit(one, 0);
	*two = 1; // <-
	return 2;
}

SEC("tc") int use_after_release__socket(struct skb *context)
{
	u32 tuple[3] = { 0x0100007f, 0x0100007f, 0x50005000 };
	u32 *sock = sk_lookup_tcp(context, tuple, sizeof(tuple), -1, 0);

	if (!sock)
		return 0;
	sk_release(sock); // <=
	return sock[0]; // <- a socket
}

/* What was reached through it goes with it. */
SEC("tc") int use_after_release__reached(struct skb *context)
{
	u32 tuple[3] = { 0x0100007f, 0x0100007f, 0x50005000 };
	u32 *sock = sk_lookup_tcp(context, tuple, sizeof(tuple), -1, 0), *tcp;

	if (!sock)
		return 0;
	tcp = tcp_sock(sock);
	if (!tcp) {
		sk_release(sock);
		return 0;
	}
	sk_release(sock); // <=
	return tcp[0]; // <-
}

SEC("xdp") int use_after_release__slice(struct xdp_md *context)
{
	struct dynptr record;
	u64 *slice;

	ring_reserve_dynptr(&ring, 8, 0, &record);
	slice = dynptr_data(&record, 0, 8);
	if (!slice) {
		ring_discard_dynptr(&record, 0);
		return 2;
	}
	ring_submit_dynptr(&record, 0); // <=
	*slice = 1; // <-
	return 2;
}

SEC("xdp") int use_after_release__dynptr(struct xdp_md *context)
{
	struct dynptr record;

	ring_reserve_dynptr(&ring, 8, 0, &record);
	ring_submit_dynptr(&record, 0); // <=
	ring_discard_dynptr(&record, 0); // <-
	return 2;
}

/* No call is to blame: this never was an address. */
SEC("tc") int scalar_dereference__beside_a_call(struct skb *context)
{
	u64 number = context->mark;

	skb_pull_data(context, 64);
	return *(u8 *)number; // <- a number
}

/* Nor here: the lower half of an address is none, before and after. */
SEC("tc") int scalar_dereference__half(struct skb *context)
{
	u8 *data = DATA(context);
	u32 half = context->data_end;

	if (data + 14 > END(context))
		return 2;
	half = random();
	skb_pull_data(context, 64);
	return *(u8 *)(u64)half; // <- a number
}
