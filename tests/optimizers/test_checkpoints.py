"""Checkpoints of learned optimizers: what is written is read, and nothing else is."""

from __future__ import annotations

import json
import re
import struct

import msgpack
import numpy as np
import pytest
import torch
from checkpoints import SIZES, flax_file, haiku_tree, packed_array, theta_of, written
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from optsuite import storage
from optsuite.errors import HParamError, StorageError
from optsuite.optimizers import (
    LEARNED_OPTIMIZERS,
    _checkpoints,
    content_of,
    get_optimizer,
    list_packaged_checkpoints,
    pinned,
    read_checkpoint,
    write_checkpoint,
)
from optsuite.storage import CorruptFileError, MissingFileError

assuming_defaults = pytest.mark.filterwarnings("ignore:.*which are assumed")
every_kind = pytest.mark.parametrize("kind", LEARNED_OPTIMIZERS)


def assert_same_theta(actual, expected):
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor)
        assert actual[name].dtype == torch.float32


@every_kind
def test_reading_gives_what_was_written(kind, root):
    architecture, training = SIZES.get(kind, {}), {"task": "Any", "steps": 3, "losses": [0.5, None]}
    theta = theta_of(kind, **architecture)
    url = f"{root}/deep/down.safetensors"
    one = write_checkpoint(url, kind, theta, architecture=architecture, training=training)
    for read in (one, read_checkpoint(url)):
        assert (read.kind, read.architecture, read.training) == (kind, architecture, training)
        assert read.sha256 == one.sha256
        assert_same_theta(read.theta, theta)


def test_the_same_content_has_the_same_bytes(tmp_path):
    theta = theta_of("MLPLOpt")
    first = write_checkpoint(str(tmp_path / "a"), "MLPLOpt", theta, training={"b": 1, "a": 2})
    other = dict(reversed(theta.items()))
    second = write_checkpoint(str(tmp_path / "b"), "MLPLOpt", other, training={"a": 2, "b": 1})
    assert first.sha256 == second.sha256
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_reading_draws_no_random_numbers(tmp_path):
    url = written(tmp_path / "a.safetensors", "AdafacMLPLOpt")
    before = torch.random.get_rng_state()
    read_checkpoint(url)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "Adam"}, "unknown learned optimizer `Adam`"),
        (
            {"architecture": {"hidden_size": 7}},
            "`mlp/~/linear_0/b` of `MLPLOpt` of that architecture must be",
        ),
        ({"architecture": {"width": 7}}, "unexpected keyword argument 'width'"),
        ({"architecture": {"hidden_size": 0}}, "`hidden_size` of `MLPLOpt` must be a whole number from 1 to"),
        ({"architecture": {"exp_mult": "1"}}, "`exp_mult` of `MLPLOpt` must be a finite number, got '1'"),
        ({"training": {"loss": float("nan")}}, "Out of range float values are not JSON compliant"),
        ({"theta": {"mlp": torch.zeros(2)}}, "needs a tensor `mlp/~/linear_0/b`, got none"),
    ],
)
def test_what_could_not_be_read_is_not_written(change, words, tmp_path):
    given = {"kind": "MLPLOpt", "theta": theta_of("MLPLOpt")} | change
    with pytest.raises(HParamError, match=re.escape(words)):
        write_checkpoint(str(tmp_path / "a"), **given)
    assert list(tmp_path.iterdir()) == []


# A file's description and tensors; its parts can be replaced.
GOOD = {"version": 1, "kind": "LearnableSGD", "architecture": {}, "training": {}}


def file_of(description=GOOD, theta=None):
    text = description if isinstance(description, str) else json.dumps(description)
    return save({"log_lr": torch.tensor(-1.0)} if theta is None else theta, {"optsuite": text})


def header(text):
    return struct.pack("<Q", len(text)) + text


BAD = {
    "nothing": (b"", "needed a safetensors file, or msgpack of learned_optimization, got neither"),
    "text": (b"hello, this is text", "got neither"),
    "no description": (save({"log_lr": torch.tensor(0.0)}), "needed a description `optsuite`"),
    "description of no form": (file_of("[1]"), "needed a description with version, kind, architecture"),
    "description of other keys": (file_of(GOOD | {"more": 1}), "needed a description with"),
    "description that is no JSON": (file_of("{"), "its description is not JSON"),
    "description with NaN": (
        file_of('{"training": NaN}'),
        "(ValueError: NaN is no finite number",
    ),
    "deep description": (file_of("[" * 60_000), "its description is not JSON"),
    "long description": (file_of(" " * 70_000), "needed a description of at most 65,536 characters"),
    "later version": (file_of(GOOD | {"version": 2}), "needed version 1 of the format, got 2"),
    "kind that is not there": (file_of(GOOD | {"kind": "Adam"}), "unknown learned optimizer `Adam`"),
    "argument that is not there": (file_of(GOOD | {"architecture": {"a": 1}}), "argument 'a'"),
    "huge network": (
        file_of(GOOD | {"kind": "MLPLOpt", "architecture": {"hidden_size": 10**12}}),
        "`hidden_size` of `MLPLOpt` must be a whole number from 1 to 4096, got 1000000000000",
    ),
    "deep network": (
        file_of(GOOD | {"kind": "MLPLOpt", "architecture": {"hidden_layers": 10**12}}),
        "`hidden_layers` of `MLPLOpt` must be a whole number from 1 to 4096",
    ),
    "number too large": (
        file_of(GOOD | {"architecture": {"initial_lr": 10**400}}),
        "its description is not JSON (ValueError: needed a number of at most 300 digits, got 401)",
    ),
    "rate of no logarithm": (
        file_of(GOOD | {"architecture": {"initial_lr": -1.0}}),
        "`initial_lr` of `LearnableSGD` must be a finite number > 0, got -1.0",
    ),
    "tensor missing": (file_of(theta={}), "needs a tensor `log_lr`, got none"),
    "tensor too many": (
        file_of(theta={"log_lr": torch.tensor(0.0), "b": torch.tensor(0.0)}),
        "has no tensor `b`",
    ),
    "other shape": (file_of(theta={"log_lr": torch.zeros(1)}), "must be () of torch.float32, got (1,)"),
    "other type": (
        file_of(theta={"log_lr": torch.zeros((), dtype=torch.float64)}),
        "must be () of torch.float32, got () of torch.float64",
    ),
    "infinite": (file_of(theta={"log_lr": torch.tensor(float("inf"))}), "`log_lr` must be finite"),
    "truncated": (file_of()[:-1], "it is no valid safetensors file (SafetensorError"),
    "no header": (header(b'{"a": [[[['), "it is no valid safetensors file (SafetensorError"),
    "long header": (header(b"{" + b" " * 2**20), "needed a header of at most 1,048,576 bytes"),
    "tensor outside the file": (
        header(b'{"log_lr":{"dtype":"F32","shape":[9999999],"data_offsets":[0,39999996]}}'),
        "it is no valid safetensors file (SafetensorError",
    ),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_every_bad_file_is_refused_in_words(content, words, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(CorruptFileError, match=re.escape(words)) as caught:
        read_checkpoint(str(tmp_path / "bad"))
    assert f"`{tmp_path}/bad` is not a checkpoint of a learned optimizer: " in str(caught.value)


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoints, "_MOST_BYTES", 100)
    (tmp_path / "large").write_bytes(bytes(101))
    with pytest.raises(CorruptFileError, match="is too large: needed at most 100 bytes, and it has more"):
        read_checkpoint(str(tmp_path / "large"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="nowhere`: there is no such file"):
        read_checkpoint(str(tmp_path / "nowhere"))


@given(content=st.binary(max_size=200))
def test_no_bytes_do_harm(content):
    storage.write_bytes("memory://hostile", content)
    with pytest.raises(StorageError):
        read_checkpoint("memory://hostile")


@given(data=st.data())
@pytest.mark.parametrize("make", [file_of, lambda: flax_file(theta_of("LearnableAdam"))])
def test_no_change_of_a_good_file_does_harm(make, data):
    content = bytearray(make())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=5))
    storage.write_bytes("memory://hostile", bytes(content))
    try:
        read = read_checkpoint("memory://hostile")
    except StorageError:
        return
    assert all(tensor.isfinite().all() for tensor in read.theta.values())


# Checkpoints of learned_optimization


@assuming_defaults
@every_kind
@pytest.mark.parametrize("is_bare", [False, True])
def test_a_checkpoint_of_the_original_is_recognized_by_its_parameters(kind, is_bare, tmp_path):
    theta = theta_of(kind, **SIZES.get(kind, {}))
    (tmp_path / "params_0").write_bytes(msgpack.packb(haiku_tree(theta)) if is_bare else flax_file(theta))
    read = read_checkpoint(str(tmp_path / "params_0"))
    assert read.kind == kind
    assert read.architecture.items() >= SIZES.get(kind, {}).items()
    assert_same_theta(read.theta, theta)
    account = {} if is_bare else {"gen_id": "a-b", "step": 7}
    assert read.training == {"written_by": "learned_optimization", **account}


def test_a_checkpoint_of_the_original_lacks_scales_which_is_said_once(tmp_path):
    storage.write_bytes(str(tmp_path / "params_0"), flax_file(theta_of("MLPLOpt")))
    with pytest.warns(UserWarning, match="does not hold exp_mult=0.001 and step_mult=0.001"):
        read = read_checkpoint(str(tmp_path / "params_0"))
    read_checkpoint(pinned(str(tmp_path / "params_0"), read))  # as training does


@assuming_defaults
def test_a_checkpoint_of_the_original_can_be_written_again(tmp_path):
    storage.write_bytes(str(tmp_path / "params_0"), flax_file(theta_of("AdafacMLPLOpt")))
    read = read_checkpoint(str(tmp_path / "params_0"))
    mine = str(tmp_path / "mine.safetensors")
    write_checkpoint(mine, read.kind, read.theta, architecture=read.architecture, training=read.training)
    assert read_checkpoint(mine).training == read.training
    assert_same_theta(read_checkpoint(mine).theta, read.theta)


def array_of(shape, type_name, data, code=1):
    return msgpack.packb({"log_lr": msgpack.ExtType(code, msgpack.packb((shape, type_name, data)))})


BAD_FLAX = {
    "shape that lies": (array_of((10**9,), "float32", b"1234"), "of float32 does not have 4 bytes"),
    "shape below 0": (array_of((-1, -1), "float32", b"1234"), "needed arrays of numbers with shape"),
    "shape of words": (array_of(("a",), "float32", b"1234"), "needed arrays of numbers with shape"),
    "objects": (array_of((), "object", b"12345678"), "needed arrays of numbers with shape"),
    "bytes as text": (array_of((1,), "float32", "1234"), "needed arrays of numbers with shape"),
    "complex": (array_of((), "float32", b"1234", code=2), "got extension 2"),
    "other type": (msgpack.packb({"log_lr": packed_array(0.5)}), "got () of torch.float64"),
    "not a number": (msgpack.packb({"log_lr": packed_array(np.float32("nan"))}), "must be finite"),
    "other parameters": (
        msgpack.packb({"a": packed_array([1.0])}),
        "needed the parameters of AdafacMLPLOpt,",
    ),
    "no parameters": (b"\x80", "got none"),
    "other sizes": (
        msgpack.packb(haiku_tree(theta_of("MLPLOpt") | {"mlp/~/linear_1/w": torch.zeros(2, 2)})),
        "`mlp/~/linear_1/w` of `MLPLOpt` of that architecture must be (32, 32)",
    ),
    "many layers": (
        msgpack.packb({"nn": {"~": {f"b{n}": packed_array(np.float32([0.0])) for n in range(99)}}}),
        "`AdafacMLPLOpt` of that architecture needs a tensor",
    ),
    "one layer": (msgpack.packb({"nn": {"~": {"b0": packed_array(np.zeros(4))}}}), "`hidden_layers` of"),
    "in chunks": (
        msgpack.packb({"a": {"__msgpack_chunked_array__": True, "shape": {}, "chunks": {}}}),
        "needed arrays in one piece",
    ),
    "number for an array": (msgpack.packb({"a": 1}), "needed an array at `a`, got int"),
    "list for an array": (msgpack.packb({"a": [1]}), "needed an array at `a`, got list"),
    "number for a name": (msgpack.packb({1: {}}), "keys are different names"),
    "name twice": (b"\x82\xa1a\x80\xa1a\x80", "keys are different names"),
    "more behind": (b"\x80\x80", "it is no msgpack of arrays (ExtraData"),
    "map that is not there": (b"\xdf\xff\xff\xff\xff", "exceeds max_map_len"),
    "list that is not there": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "exceeds max_array_len"),
    "name that is not there": (b"\x81\xdb\xff\xff\xff\xff", "it is no msgpack of arrays"),
    "bytes that are not there": (b"\x81\xa1a\xc6\xff\xff\xff\xff", "it is no msgpack of arrays"),
    "bytes for an array": (b"\x81\xa1a\xc4\x01a", "exceeds max_bin_len"),
    "array that is not there": (b"\x81\xa1a\xc9\xff\xff\xff\xff\x01", "it is no msgpack of arrays"),
    "nesting": (b"\x81\xa1a" * 100 + b"\x80", "needed at most 16 maps in each other"),
    "deep nesting": (b"\x81\xa1a" * 100_000 + b"\x80", "it is no msgpack of arrays (StackError"),
    "many maps": (b"\xde\x00\xff" + b"\x9f" + b"\x80" * 2**20, "it is no msgpack of arrays"),
    "time": (b"\x81\xa1a\xd6\xff\x00\x00\x00\x01", "needed an array at `a`, got Timestamp"),
}


@pytest.mark.parametrize(("content", "words"), BAD_FLAX.values(), ids=BAD_FLAX)
def test_every_bad_file_of_the_original_is_refused_in_words(content, words, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(CorruptFileError, match=re.escape(words)) as caught:
        read_checkpoint(str(tmp_path / "bad"))
    assert f"`{tmp_path}/bad` is not a checkpoint of a learned optimizer: " in str(caught.value)


def test_a_file_of_many_maps_is_left_when_there_are_too_many(tmp_path):
    rows = msgpack.packb([{}] * 15)
    content = msgpack.packb({str(n): 0 for n in range(200)})[:-1] + b"\x9f" + rows * 15
    (tmp_path / "bad").write_bytes(b"\x8f" + b"".join(msgpack.packb(str(n)) + content for n in range(15)))
    with pytest.raises(CorruptFileError, match="needed at most 1000 maps and arrays, got more"):
        read_checkpoint(str(tmp_path / "bad"))


def test_msgpack_is_needed_for_its_files_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "msgpack", None)
    read_checkpoint(written(tmp_path / "a.safetensors"))
    (tmp_path / "params_0").write_bytes(b"\x80")
    with pytest.raises(StorageError, match=re.escape("pip install 'optsuite[flax]'")):
        read_checkpoint(str(tmp_path / "params_0"))


# Names with a hash, and names of packaged checkpoints


def test_a_name_with_a_hash_is_held_to_it(tmp_path):
    url = written(tmp_path / "a.safetensors", seed=1)
    named = pinned(url, read_checkpoint(url))
    assert read_checkpoint(named).sha256 == content_of(named).removeprefix("sha256=")
    assert pinned(named, read_checkpoint(url)) == named
    written(url, seed=2)
    with pytest.raises(CorruptFileError, match=r"a.safetensors` has changed: needed a file whose sha256 is"):
        read_checkpoint(named)


@pytest.mark.parametrize("value", [1, 0.5, True, "RMSPROP", "a#sha256=12", (1, "a")])
def test_values_without_a_hash_are_their_own_content(value):
    assert content_of(value) == value


def test_a_bare_word_names_a_packaged_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoints, "PACKAGED", tmp_path / "packaged")
    written(tmp_path / "packaged" / "example.safetensors")
    monkeypatch.chdir(tmp_path)
    assert list_packaged_checkpoints() == ["example"]
    assert read_checkpoint("example").kind == "LearnableSGD"
    written("params_0", "LearnableAdam")
    assert read_checkpoint("params_0").kind == "LearnableAdam"
    with pytest.raises(
        MissingFileError, match=r"there is no checkpoint `exmple`: .* with optsuite \(example\)"
    ):
        read_checkpoint("exmple")


# Checkpoints as optimizers


def test_an_optimizer_of_a_checkpoint_takes_its_steps(tmp_path):
    url = written(tmp_path / "a.safetensors", initial_lr=0.5)
    params = {"p": torch.ones(2)}
    opt = get_optimizer("LearnableSGD", theta=url)
    updates, _ = opt.update(params, opt.init(params), params)
    torch.testing.assert_close(updates["p"], torch.full((2,), -0.5))


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    url = written(tmp_path / "a.safetensors")
    with pytest.raises(
        HParamError, match=r"must be a checkpoint of `MLPLOpt`, but `.*` is one of `LearnableSGD`"
    ):
        get_optimizer("MLPLOptGradAccum", theta=url, num_average=2)


@pytest.mark.parametrize("theta", ["", 3, None, True, torch.zeros(())])
def test_a_theta_that_is_no_path_is_refused(theta):
    with pytest.raises(
        HParamError, match="`theta` of `MLPLOpt` must be the path or URL of a checkpoint, got"
    ):
        get_optimizer("MLPLOpt", theta=theta)


@pytest.mark.parametrize("arguments", [{"theta": {"log_lr": 0.5}}, {"training": [1]}, {"architecture": 3}])
def test_what_makes_no_checkpoint_is_refused(arguments, tmp_path):
    given = {"theta": theta_of("LearnableSGD"), **arguments}
    with pytest.raises(HParamError, match="no checkpoint of `LearnableSGD` can be made of that"):
        write_checkpoint(str(tmp_path / "a.safetensors"), "LearnableSGD", **given)


def test_the_example_says_how_it_was_made():
    assert list_packaged_checkpoints() == ["example"]
    training = read_checkpoint("example").training
    assert (training["tasks"], training["data"]) == (["ImageMLP_FashionMnist8_Relu32"], "real")
    assert {"seed", "steps", "optimizer", "hparams", "estimator", "versions"} <= training.keys()
