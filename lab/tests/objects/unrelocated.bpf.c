/* Programs that want of the kernel's types what no kernel has.
 * Built: clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c unrelocated.bpf.c -o unrelocated.bpf.o; llvm-strip -g unrelocated.bpf.o */
#include "../../../testdata/verifier/program.h"

#define CORE __attribute__((preserve_access_index))

/* What follows three underscores is not part of the name. */
struct task_struct___treeline { int no_such_field; struct { int inner[4]; } no_such_part; } CORE;
struct treeline_has_no_such { int field; } CORE;
enum bpf_map_type___treeline { TREELINE_HAS_NO_SUCH_VALUE = 3 };

static void *(*current_task)(void) = (void *)35;

SEC("kprobe/do_unlinkat") int field(void *context)
{
	struct task_struct___treeline *task = current_task();
	u64 to = 0;

	probe_read_kernel(&to, 4, &task->no_such_field);
	return to;
}

SEC("kprobe/do_unlinkat") int nested(void *context)
{
	struct task_struct___treeline *task = current_task();
	u64 to = 0;

	probe_read_kernel(&to, 4, &task->no_such_part.inner[2]);
	return to;
}

SEC("xdp") int type(struct xdp_md *context)
{
	struct treeline_has_no_such *none = (void *)(long)context->rx_queue_index;

	return 1 + __builtin_preserve_field_info(none->field, 0);
}

SEC("xdp") int value(struct xdp_md *context)
{
	return __builtin_preserve_enum_value(*(typeof(enum bpf_map_type___treeline) *)TREELINE_HAS_NO_SUCH_VALUE, 1);
}

/* Behind a test it is never reached. */
SEC("xdp") int reached_never(struct xdp_md *context)
{
	struct treeline_has_no_such *none = (void *)(long)context->rx_queue_index;

	if (__builtin_preserve_field_info(none->field, 2))
		return 1 + __builtin_preserve_field_info(none->field, 0);
	return 2;
}
