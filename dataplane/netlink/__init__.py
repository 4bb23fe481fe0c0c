"""Netlink, the kernel's own message bus, at the level of bytes.

`attributes` packs and parses type-length-value attributes, `messages` the headers around them, and `channel`
carries requests, dumps and atomic nfnetlink batches over a socket and turns refusals into errors that say
which message was refused. Nothing in here knows what the messages mean.
"""
