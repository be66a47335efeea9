// A kernel whose programs judge otherwise, as far as the process that this is loaded into can tell: test runs return one more,
// and datagrams of a pair of sockets arrive a byte shorter.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/syscall.h>

long syscall(long number, ...)
{
	long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (int index = 0; index < 6; index++)
		arguments[index] = va_arg(list, long);
	va_end(list);
	long result = next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
	if (number == SYS_bpf && arguments[0] == BPF_PROG_TEST_RUN && result >= 0)
		((union bpf_attr *)arguments[1])->test.retval++;
	return result;
}

ssize_t recv(int socket, void *buffer, size_t length, int flags)
{
	ssize_t (*next)(int, void *, size_t, int) = (ssize_t (*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
	int domain = 0, kind = 0;
	socklen_t size = sizeof(int);
	ssize_t result = next(socket, buffer, length, flags);

	getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	getsockopt(socket, SOL_SOCKET, SO_TYPE, &kind, &size);
	return result > 0 && domain == AF_UNIX && kind == SOCK_DGRAM ? result - 1 : result;
}
