"""Numbers of the kernel's nftables interface (linux/netfilter/nf_tables.h), with the names it gives them there."""

from __future__ import annotations

import enum

NFNL_SUBSYS_NFTABLES = 10
NFNLGRP_NFTABLES = 7


class Message(enum.IntEnum):
    """nfnetlink message types of the nftables subsystem, subsystem number included."""

    NEWTABLE = 0xA00
    GETTABLE = 0xA01
    DELTABLE = 0xA02
    NEWCHAIN = 0xA03
    GETCHAIN = 0xA04
    DELCHAIN = 0xA05
    NEWRULE = 0xA06
    GETRULE = 0xA07
    DELRULE = 0xA08
    NEWSET = 0xA09
    GETSET = 0xA0A
    DELSET = 0xA0B
    NEWSETELEM = 0xA0C
    GETSETELEM = 0xA0D
    DELSETELEM = 0xA0E
    NEWGEN = 0xA0F
    GETGEN = 0xA10


NFTA_LIST_ELEM = 1
NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_GEN_ID = 1

NFTA_TABLE_NAME, NFTA_TABLE_FLAGS = 1, 2
TABLE_DORMANT = 0x1  #: NFT_TABLE_F_DORMANT: its chains are not called

NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_TYPE = 1, 3, 4, 7
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2

NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS = 1, 2, 4

NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS = 1, 2, 3
NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN = 4, 5, 6, 7
NFTA_SET_DESC, NFTA_SET_ID, NFTA_SET_TIMEOUT, NFTA_SET_USERDATA = 9, 10, 11, 13
NFTA_SET_DESC_SIZE, NFTA_SET_DESC_CONCAT, NFTA_SET_FIELD_LEN = 1, 2, 1

NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_EXPIRATION, NFTA_SET_ELEM_KEY_END = 1, 2, 5, 10


class SetFlag(enum.IntFlag):
    """NFT_SET_*: what a set can do."""

    NONE = 0
    ANONYMOUS = 0x1
    CONSTANT = 0x2
    INTERVAL = 0x4
    MAP = 0x8
    TIMEOUT = 0x10
    EVAL = 0x20  #: written by packets; nft calls it "dynamic"
    CONCAT = 0x80


DATA_TYPE_VERDICT = 0xFFFFFF00


class Hook(enum.IntEnum):
    """Where in the stack a base chain is called: NF_INET_*."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


class Verdict(enum.IntEnum):
    """What a rule ends with."""

    DROP = 0
    ACCEPT = 1
    JUMP = -3
    GOTO = -4
    RETURN = -5


# Registers: the verdict, and sixteen words of four bytes; what begins at a multiple of four words has one of the
# numbers 1 to 4 too.
REGISTER_VERDICT = 0
REGISTER_FIRST = 1
REGISTER_WORD_0 = 8
