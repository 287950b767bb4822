"""Canonical JSON: one spelling a value, and nothing but FormatError for anything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS
from updater.errors import FormatError
from updater.format.encoding.canonical import INTEGER_MAX, Record, decode, encode, within

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
scalars = st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@SETTINGS
@given(values)
def test_decoding_is_the_inverse_of_encoding(value: Any) -> None:
    data = encode(value)
    again = decode(data, len(data))
    assert again == value
    assert encode(again) == data


@SETTINGS
@given(st.binary(max_size=40) | text.map(str.encode))
def test_what_is_accepted_is_its_own_canonical_spelling(data: bytes) -> None:
    for document in (data, data + b"\n"):
        try:
            value = decode(document, 100)
        except FormatError:
            continue
        assert encode(value) == document


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 10_000 + b"]" * 10_000 + b"\n",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"\n",
        b"[" * 10_000_000,
        b"9" * 100_000 + b"\n",
        b"-" + b"9" * 100_000 + b"\n",
        b"1e999\n",
        b"1.5\n",
        b"NaN\n",
        b"-Infinity\n",
        b'{"a":1,"a":1}\n',
        b"\xef\xbb\xbf{}\n",
        "{}\n".encode("utf-16"),
        "[1]\n".encode("utf-16-be"),
        "{}\n".encode("utf-32"),
        b'"\\ud800"\n',
        b'"\\udc00\\ud800"\n',
        b'"\xed\xa0\x80"\n',
        b'{"\\ud800":1}\n',
        b'"\0"\n',
        b"\0\n",
        b"",
        b"\n",
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_hostile_documents_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data, len(data))


@pytest.mark.parametrize("size", [5_000_001, 10_000_000])
def test_a_document_is_not_read_beyond_its_limit(size: int) -> None:
    with pytest.raises(FormatError, match=f"{size} bytes, 5000000 allowed"):
        decode(b" " * size, 5_000_000)


def test_a_document_of_the_limit_is_read() -> None:
    assert decode(b'"abc"\n', 6) == "abc"
    with pytest.raises(FormatError):
        decode(b'"abc"\n', 5)


@pytest.mark.parametrize("value", [1.0, float("nan"), float("inf")])
def test_no_float_is_written_that_could_be_read(value: float) -> None:
    try:
        data = encode([value])
    except ValueError:
        return
    with pytest.raises(FormatError):
        decode(data, 100)


class TestRecord:
    """Fields are taken once, of one type, and none is ignored."""

    def test_a_boolean_is_no_integer(self) -> None:
        with pytest.raises(FormatError, match="int expected, got bool"):
            Record({"a": True}).integer("a", 5)

    def test_an_integer_is_no_boolean(self) -> None:
        with pytest.raises(FormatError, match="bool expected, got int"):
            Record({"a": 1}).flag("a")

    @pytest.mark.parametrize("value", [-1, 6, 1 << 80])
    def test_an_integer_keeps_its_range(self, value: int) -> None:
        with pytest.raises(FormatError, match=r"is not in 0\.\.5"):
            Record({"a": value}).integer("a", 5)

    @pytest.mark.parametrize("value", [[], None, "x", 1, True])
    def test_only_an_object_is_a_record(self, value: object) -> None:
        with pytest.raises(FormatError, match="object expected"):
            Record(value)

    def test_null_is_not_absent(self) -> None:
        with pytest.raises(FormatError, match="str expected, got NoneType"):
            Record({"a": None}).text("a", "default")

    def test_absent_takes_the_default_or_is_refused(self) -> None:
        assert Record({}).text("a", "default") == "default"
        with pytest.raises(FormatError, match="a: missing"):
            Record({}).text("a")

    def test_a_field_is_taken_once(self) -> None:
        record = Record({"a": "x"})
        record.text("a")
        record.end()
        with pytest.raises(FormatError, match="missing"):
            record.text("a")

    def test_a_field_nobody_took_is_refused(self) -> None:
        with pytest.raises(FormatError, match="unknown field 'b'") as caught:
            Record({"b": 1}).end()
        assert "newer updater" in caught.value.hint

    def test_the_error_says_where(self) -> None:
        def number(value: object) -> int:
            return Record(value).integer("n", 5)

        with pytest.raises(FormatError) as caught:
            within("document", lambda v: Record(v).items("list", number, 9), {"list": [{"n": 9}]})
        assert caught.value.context == "document.list[0].n"
