"""The userspace dataplane: the C engine in `native/`, given tables and packets from Python.

slots    numbers that stay with what they were given to
image    a ForwardingTable as the flat arrays that the engine loads
result   what became of a packet, in the words of dataplane.reference
batch    many packets in one buffer, without copying
engine   the engine itself
"""
