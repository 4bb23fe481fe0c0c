"""The userspace dataplane: the C engine in `native/`, given tables and packets from Python.

    engine      the engine: tables in by `apply`, packets in by `run` or `send`
    batch       many packets in one buffer, without copying
    result      what became of a packet, in the words of dataplane.reference
    telling     why, in the same words
    flows       the flows that are known, and what was counted
    saved       the same as JSON, to survive a restart
    limits      how much of everything, and how long
    maglev      what Maglev's way to pick is worth, in figures
    pcap        captured packets in files
    xdp         packets from interfaces to the engine and out again, past most of the kernel (AF_XDP)

and inside: `image` (a ForwardingTable as flat arrays), `owners` (the numbers of service ports),
`structures` (the C structures, made and read).
"""
