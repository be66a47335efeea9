/* Programs that the verifier refuses for what they acquire and give back. Each is named for the rule (lab/src/verifier/rule); the line that it
 * stops at bears an arrow, with words of what is said of the registers. Built by `make`. */
#include "program.h"

struct locked { struct bpf_spin_lock lock; u32 count; };
struct timed { struct bpf_timer timer; u64 count; };
struct { MEMBER(type, ARRAY); u32 *key; struct locked *value; MEMBER(max_entries, 2); } locks SEC(".maps");
struct { MEMBER(type, ARRAY); u32 *key; struct timed *value; MEMBER(max_entries, 1); } timers SEC(".maps");
struct { MEMBER(type, ARRAY); u32 *key; struct timed *value; MEMBER(max_entries, 1); } others SEC(".maps");
struct { MEMBER(type, ARRAY); MEMBER(key_size, 4); MEMBER(value_size, 16); MEMBER(max_entries, 1); } plain SEC(".maps");
struct { MEMBER(type, RING); MEMBER(max_entries, 4096); } ring SEC(".maps");
struct { MEMBER(type, PROG_ARRAY); MEMBER(key_size, 4); MEMBER(value_size, 4); MEMBER(max_entries, 1); } programs SEC(".maps");

SEC("xdp") int reference_unreleased(struct xdp_md *context)
{
	u64 *record = ring_reserve(&ring, 8, 0);

	if (!record)
		return 1;
	*record = clock_ns();
	if (context->rx_queue_index == 3)
		return 1; // reaches the end with the record
	ring_submit(record, 0);
	return 2;
} // <-

SEC("tc") int reference_unreleased__tail_call(struct skb *context)
{
	u64 *record = ring_reserve(&ring, 8, 0);

	if (!record)
		return 1;
	tail_call(context, &programs, 0); // <-
	ring_discard(record, 0);
	return 0;
}

SEC("xdp") NAKED int pointer_moved(struct xdp_md *context)
{
	ASM("r1 = ring ll");
	ASM("r2 = 8");
	ASM("r3 = 0");
	ASM("call 131");
	ASM("if r0 == 0 goto +5");
	ASM("r1 = r0");
	ASM("r6 = r0");
	ASM("r2 = 0");
	ASM("r1 += 4");
	ASM("call 132"); // <-
	ASM("r0 = 2");
	ASM("exit");
}

SEC("tc") NAKED int release_unacquired(struct skb *context)
{
	ASM("r1 = *(u64 *)(r1 + 168)"); // skb->sk, which is only lent
	ASM("if r1 == 0 goto +2");
	ASM("call 95"); // bpf_sk_fullsock
	ASM("if r0 != 0 goto +2");
	ASM("r0 = 0");
	ASM("exit");
	ASM("r1 = r0");
	ASM("call 86"); // <- r1 is a socket
	ASM("r0 = 0");
	ASM("exit");
}

SEC("xdp") int lock_held__two(struct xdp_md *context)
{
	u32 one = 0, two = 1;
	struct locked *first = map_lookup(&locks, &one), *second = map_lookup(&locks, &two);

	if (!first || !second)
		return 1;
	spin_lock(&first->lock);
	spin_lock(&second->lock); // <-
	spin_unlock(&second->lock);
	spin_unlock(&first->lock);
	return 2;
}

SEC("xdp") int lock_unmatched(struct xdp_md *context)
{
	u32 key = 0;
	struct locked *value = map_lookup(&locks, &key);

	if (value)
		spin_unlock(&value->lock); // <-
	return 2;
}

SEC("xdp") int lock_held(struct xdp_md *context)
{
	u32 key = 0;
	struct locked *value = map_lookup(&locks, &key);

	if (!value)
		return 1;
	spin_lock(&value->lock);
	value->count = clock_ns(); // <-
	spin_unlock(&value->lock);
	return 2;
}

SEC("socket") int lock_program_type(struct skb *context)
{
	u32 key = 0;
	struct locked *value = map_lookup(&locks, &key);

	if (!value)
		return 1;
	spin_lock(&value->lock);
	value->count++;
	spin_unlock(&value->lock);
	return 2;
}

SEC("xdp") int field_types_missing(struct xdp_md *context)
{
	u32 key = 0;
	struct locked *value = map_lookup(&plain, &key);

	if (value)
		spin_lock(&value->lock); // <-
	return 2;
}

SEC("xdp") int field_missing(struct xdp_md *context)
{
	u32 key = 0;
	struct locked *value = map_lookup(&locks, &key);

	if (value)
		spin_lock(&value->count); // <-
	return 2;
}

SEC("xdp") int map_mismatch(struct xdp_md *context)
{
	u32 key = 0;
	struct timed *value = map_lookup(&timers, &key);

	if (value)
		timer_init(&value->timer, &others, 1); // <-
	return 2;
}

SEC("xdp") int sleep(struct xdp_md *context)
{
	u64 word;

	return copy_from_user(&word, sizeof(word), (void *)8); // <-
}

SEC("xdp") int dynptr(struct xdp_md *context)
{
	struct dynptr record;
	u64 word;

	asm volatile("" : : "r"(&record));
	dynptr_read(&word, sizeof(word), &record, 0, 0); // <-
	return 2;
}

SEC("xdp") int reference_unreleased__dynptr(struct xdp_md *context)
{
	struct dynptr record;

	ring_reserve_dynptr(&ring, 8, 0, &record);
	return 2; // <-
}
