"""Laws of the stream of batch indices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optsuite.data import IndexStream
from optsuite.errors import DataError

sizes = st.tuples(st.integers(1, 50), st.integers(1, 70))


def stream(num_examples, batch_size, seed=0, name="train"):
    return IndexStream(num_examples, batch_size, seed=seed, name=name)


@given(size=sizes, num_epochs=st.integers(1, 4), seed=st.integers(0, 5))
def test_every_epoch_is_a_permutation(size, num_epochs, seed):
    num_examples, batch_size = size
    num_batches = -(-num_examples * num_epochs // batch_size)
    flat = stream(num_examples, batch_size, seed).block(0, num_batches).flatten()
    for epoch in range(num_epochs):
        part = flat[epoch * num_examples : (epoch + 1) * num_examples]
        assert part.sort().values.tolist() == list(range(num_examples))


@given(size=sizes, cuts=st.lists(st.integers(0, 12), min_size=3, max_size=3).map(sorted))
def test_block_is_the_blocks_it_is_cut_into(size, cuts):
    a, b, c = cuts
    whole = stream(*size).block(a, c)
    assert whole.shape == (c - a, size[1])
    assert whole.dtype == torch.int64
    same = stream(*size)
    later = same.block(b, c)  # out of order on purpose
    assert torch.equal(whole, torch.cat([same.block(a, b), later]))


def test_batches_are_cuts_of_one_sequence_whatever_their_size():
    fives = stream(12, 5).block(0, 12).flatten()
    assert torch.equal(fives, stream(12, 30).block(0, 2).flatten())


@pytest.mark.parametrize("other", [{"seed": 1}, {"name": "eval/train"}])
def test_seeds_and_names_give_other_streams(other):
    assert not torch.equal(stream(1000, 100).block(0, 5), stream(1000, 100, **other).block(0, 5))


def test_epochs_differ():
    epochs = stream(1000, 1000).block(0, 2)
    assert not torch.equal(epochs[0], epochs[1])


def test_stream_is_the_same_on_every_machine():
    """These numbers are a promise: other ones would change every recorded curve."""
    assert stream(10, 5).block(0, 4).tolist() == [
        [4, 9, 3, 6, 2],
        [8, 7, 1, 0, 5],
        [9, 4, 8, 1, 3],
        [2, 5, 0, 7, 6],
    ]


def test_block_shares_no_memory_with_the_stream():
    same = stream(10, 10)
    expected = same.block(0, 1).clone()
    same.block(0, 1).zero_()
    assert torch.equal(same.block(0, 1), expected)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(0, 1), (1, 0)])
def test_empty_stream_is_an_error(num_examples, batch_size):
    with pytest.raises(DataError, match="at least one example and one per batch"):
        stream(num_examples, batch_size)


def test_backward_block_is_an_error():
    with pytest.raises(DataError, match="0 <= start <= stop, got 3 and 2"):
        stream(10, 5).block(3, 2)
