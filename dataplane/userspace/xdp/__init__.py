"""AF_XDP: packets go from an interface to the engine and out of another, past most of the kernel.

    port          what of all this is there, and kept as it should be
    follower      a thread that sees to the latter
    steering      which packets the engine wants, of a ForwardingTable
    program       the XDP program: a packet that is wanted goes to the engine, all others to the kernel
    instructions  an assembler for BPF, as far as that program needs it
    polling       drivers polled by the engine's thread
    bpf           maps, programs and links, by bpf(2)
    exits         the ways out: the kernel's routes and neighbours put together
    tun           the way back to the kernel

and in C: native/af_xdp.c (begin there), xsk.c and forwarding.c.
"""
