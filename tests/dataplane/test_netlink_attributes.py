"""Attributes and messages: what is packed can be parsed, and is what another implementation packs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import nlmsg

from dataplane.netlink import attributes, messages
from dataplane.netlink.attributes import attribute, long_number, nested, number, signed_number, string

payloads = st.binary(max_size=40)
kinds = st.integers(1, 0x3FFF)


@given(st.lists(st.tuples(kinds, payloads), max_size=8))
def test_a_list_of_attributes_is_parsed_as_it_was_packed(given_list: list[tuple[int, bytes]]) -> None:
    packed = b"".join(attribute(kind, value) for kind, value in given_list)
    assert len(packed) % 4 == 0
    assert [(kind, bytes(value)) for kind, value in attributes.each(packed)] == given_list


@given(kinds, payloads)
def test_a_nested_list_keeps_its_flag_apart_from_its_type(kind: int, value: bytes) -> None:
    packed = nested(kind, attribute(1, value))
    ((found, inner),) = attributes.each(packed)
    assert found == kind
    assert [flags for flags, _ in attributes.each_with_flags(packed)] == [kind | attributes.NESTED]
    assert bytes(attributes.parse(inner)[1]) == value


@given(payloads)
def test_no_bytes_make_the_parser_read_outside(data: bytes) -> None:
    try:
        found = list(attributes.each(data))
    except ValueError:
        return
    assert sum(len(value) for _, value in found) <= len(data)


def test_a_length_that_points_outside_is_an_error() -> None:
    with pytest.raises(ValueError, match="impossible length"):
        attributes.parse(b"\xff\x00\x01\x00")


class _Oracle(nlmsg):  # type: ignore[misc]
    """The same attributes as pyroute2 packs them."""

    prefix = "A_"
    nla_map = (
        ("A_UNSPEC", "none"),
        ("A_NUMBER", "be32"),
        ("A_TEXT", "asciiz"),
        ("A_LONG", "be64"),
        ("A_BYTES", "cdata"),
        ("A_SIGNED", "sbe32"),
    )


@given(
    st.integers(0, 2**32 - 1),
    st.text("abc/-", max_size=9),
    st.integers(0, 2**64 - 1),
    payloads,
    st.integers(-(2**31), 2**31 - 1),
)
def test_every_kind_of_attribute_is_packed_as_pyroute2_does(
    small: int, text: str, large: int, raw: bytes, signed: int
) -> None:
    oracle = _Oracle()
    oracle["attrs"] = [("A_NUMBER", small), ("A_TEXT", text), ("A_LONG", large), ("A_BYTES", raw), ("A_SIGNED", signed)]
    oracle.encode()
    ours = number(1, small) + string(2, text) + long_number(3, large) + attribute(4, raw) + signed_number(5, signed)
    assert bytes(oracle.data)[16:] == ours


@given(st.lists(st.tuples(st.integers(16, 0xFFFF), st.integers(0, 0xFFFF), payloads), max_size=5))
def test_messages_in_one_datagram_are_told_apart(given_list: list[tuple[int, int, bytes]]) -> None:
    datagram = b"".join(
        messages.message(kind, flags, sequence, body) for sequence, (kind, flags, body) in enumerate(given_list)
    )
    found = list(messages.each(datagram))
    assert [(m.kind, m.flags, m.sequence) for m in found] == [(k, f, s) for s, (k, f, _) in enumerate(given_list)]
    assert all(bytes(m.body).startswith(body) for m, (_, _, body) in zip(found, given_list, strict=True))
