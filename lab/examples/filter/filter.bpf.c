/* Drops IPv4 UDP datagrams to a port, and counts them by source address. Built by:
 *   clang -O2 -g -fdebug-compilation-dir=. -target bpf -mcpu=v3 -c filter.bpf.c -o filter.bpf.o && llvm-strip -g filter.bpf.o
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct ethernet { __u8 to[6], from[6]; __be16 kind; };
struct ipv4 { __u8 version_length, service; __be16 length, id, fragment; __u8 ttl, protocol; __be16 checksum; __be32 from, to; };
struct udp { __be16 from, to, length, checksum; };

const volatile __u16 PORT = 53;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __be32);
    __type(value, __u64);
} DROPPED SEC(".maps");

SEC("xdp")
int filter(struct xdp_md *context)
{
    void *end = (void *)(long)context->data_end;
    struct ethernet *ethernet = (void *)(long)context->data;
    struct ipv4 *ip = (void *)(ethernet + 1);
    struct udp *udp = (void *)(ip + 1);
    if ((void *)(udp + 1) > end || ethernet->kind != bpf_htons(0x0800) || ip->version_length != 0x45 || ip->protocol != 17)
        return XDP_PASS;
    if (udp->to != bpf_htons(PORT))
        return XDP_PASS;
    __u64 one = 1, *count = bpf_map_lookup_elem(&DROPPED, &ip->from);
    if (count)
        *count += 1;
    else
        bpf_map_update_elem(&DROPPED, &ip->from, &one, BPF_ANY);
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
