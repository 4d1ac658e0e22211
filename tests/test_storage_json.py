"""JSON from anywhere: what is odd is an error that names the file, whatever it is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optsuite import storage
from optsuite.errors import StorageError
from optsuite.storage import CorruptFileError, parse_json

ODD = {
    "empty": b"",
    "half": b'{"a": [1, 2',
    "html": b"<html>not found</html>",
    "two": b"{} {}",
    "not UTF-8": b'"\xff\xfe"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a mark": b"\xef\xbb\xbf{}",
    "NaN": b"[NaN]",
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b"-Infinity",
    "overflow": b"1e999",
    "negative overflow": b"[-1e400]",
    "10**400": b"1" + b"0" * 400,
    "5000 digits": b"[" + b"9" * 5000 + b"]",
    "twice": b'{"a": 1, "a": 2}',
    "twice inside": b'[{"b": {"a": 1, "a": 1}}]',
    "deep lists": b"[" * 100_000,
    "deep closed lists": b"[" * 900 + b"]" * 900,
    "65 deep": b"[" * 65 + b"]" * 65,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "half of a pair": b'"\\ud800"',
    "half of a pair as a key": b'{"\\udfff": 1}',
    "control characters": b'"a\nb"',
    "17 MB": b"[" + b"1," * 2**23 + b"1]",
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_is_corrupt_and_named(kind):
    with pytest.raises(CorruptFileError, match=r"^`x\.json` is not readable JSON \(.*\): delete it") as error:
        parse_json(ODD[kind], "x.json")
    assert len(str(error.value)) < 400


def test_odd_files_are_named_by_their_url(root):
    storage.write_bytes(f"{root}/a.json", b"[NaN]")
    with pytest.raises(CorruptFileError, match=r"/a\.json` is not readable JSON"):
        storage.read_json(f"{root}/a.json")
    with pytest.raises(CorruptFileError, match="too large: needed at most 3 bytes"):
        storage.read_json(f"{root}/a.json", most=3)
    with pytest.raises(storage.MissingFileError, match="build it first"):
        storage.read_json(f"{root}/no.json", missing="build it first")


@pytest.mark.parametrize("text", ["[" * 64 + "]" * 64, "1" + "0" * 299, "1e308", '"\\ud83d\\ude00"', "-0.0"])
def test_what_is_within_bounds_is_parsed(text):
    assert parse_json(text, "x") == parse_json(text.encode(), "x") == json.loads(text)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**290), 10**290)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
@settings(deadline=None, max_examples=60)
def test_writing_then_reading_is_the_identity(value):
    storage.write_json("memory://json/a.json", value)
    assert storage.read_json("memory://json/a.json") == value


@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()), st.data())
@settings(deadline=None, max_examples=200)
def test_no_bytes_raise_anything_else(content, data):
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content)))
        content = (
            content[:place]
            + data.draw(st.binary(max_size=3))
            + content[place + data.draw(st.integers(0, 3)) :]
        )
    try:
        value = parse_json(content, "x")
    except CorruptFileError:
        return
    assert json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, {1, 2}, "\ud800", object()])
def test_what_json_has_no_word_for_is_not_written(root, value):
    with pytest.raises(StorageError, match=r"cannot write .*a\.json` as JSON"):
        storage.write_json(f"{root}/a.json", value)
    assert not storage.exists(f"{root}/a.json")
