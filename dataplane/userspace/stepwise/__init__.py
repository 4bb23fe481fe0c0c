"""Ports in Python that are asked step by step, for files, sockets, tap devices, and lines that are not perfect.

    interface   what a port can do          capture     a pcap file, and a record of what passes any port
    carry       an engine between           descriptor  a socket pair, or a tap device
                a port and itself           faults      packets lost, doubled, damaged, late, out of order

One may stand before another: FaultyPort(RecordedPort(CapturePort(...))). All time is told to them, so a run with the
same packets, times and seed is the same. For packets in numbers there are the ports of native/port.h.
"""
