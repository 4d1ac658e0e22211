"""Random numbers as pure functions of a key."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optsuite.noise import draw_key, fold_in, key_from, normal, uniform

keys = st.integers(0, 2**32 - 1)


def test_uniform_fills_the_unit_interval_evenly():
    numbers = uniform(torch.tensor(1), (1000, 1000))
    assert numbers.dtype == torch.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert numbers.mean().item() == pytest.approx(1 / 2, abs=2e-3)
    assert numbers.var().item() == pytest.approx(1 / 12, abs=1e-3)
    counts = numbers.flatten().histc(100, 0, 1)
    chi_squared = ((counts - 10_000).square() / 10_000).sum().item()
    assert 50 < chi_squared < 160  # of 99 degrees of freedom: mean 99, deviation 14


def test_normal_numbers_have_the_moments_of_a_normal():
    numbers = normal(torch.tensor(1), (1001, 999))
    assert numbers.dtype == torch.float32
    assert numbers.shape == (1001, 999)
    moments = [numbers.pow(n).mean().item() for n in range(1, 5)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.02)
    assert abs((numbers[:500] * numbers[501:]).mean().item()) < 5 / 500_000**0.5  # halves of one draw
    assert numbers.isfinite().all()


def test_a_key_is_drawn_from_torch():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = draw_key(torch.device("cpu")), draw_key(torch.device("cpu"))
        torch.manual_seed(0)
        assert draw_key(torch.device("cpu")) == first
    assert first != second
    assert first.shape == ()


@given(key=keys, count=st.integers(0, 9))
def test_an_integer_hash_in_plain_arithmetic_gives_the_same_numbers(key, count):
    """The check is `lowbias32` of a counter, written with Python's integers."""

    def mix(bits):
        bits = ((bits ^ bits >> 16) * 0x7FEB352D) % 2**32
        bits = ((bits ^ bits >> 15) * 0x846CA68B) % 2**32
        return bits ^ bits >> 16

    expected = [(mix(mix((i + key) % 2**32) ^ key) >> 8) / 2**24 for i in range(count)]
    assert uniform(torch.tensor(key), (count,)).tolist() == expected
    folded = mix((mix((mix(key) + 7) % 2**32) + 0x9E3779B9) % 2**32)
    assert fold_in(torch.tensor(key), 7).item() == folded


def test_neighbours_are_uncorrelated():
    """They are within one stream, between streams of consecutive keys, and between folded keys."""
    numbers = uniform(torch.tensor(5), (100_000,)) - 0.5
    next_key = uniform(torch.tensor(6), (100_000,)) - 0.5
    folded = uniform(fold_in(torch.tensor(5), 1), (100_000,)) - 0.5
    pairs = [
        (numbers[:-1], numbers[1:]),
        (numbers, next_key),
        (numbers[1:], next_key[:-1]),
        (numbers, folded),
    ]
    for left, right in pairs:
        assert abs((left * right).mean().item() * 12) < 5 / 100_000**0.5


@given(key=keys)
def test_numbers_stay_below_one(key):
    numbers = uniform(torch.tensor(key), (257,))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert len(numbers.unique()) > 250


def test_same_key_gives_the_same_numbers():
    key = torch.tensor(3)
    assert torch.equal(uniform(key, (4, 5)), uniform(key, (4, 5)))
    assert torch.equal(uniform(key, (4, 5)).flatten(), uniform(key, (20,)))
    assert torch.equal(uniform(key, (20,))[:7], uniform(key, (7,)))
    assert uniform(key, ()).shape == ()


def test_noise_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    uniform(fold_in(torch.tensor(3), 1), (10,))
    assert torch.equal(torch.get_rng_state(), before)


def test_vmap_over_keys_equals_a_loop():
    keys = fold_in(torch.tensor(9), torch.arange(4))
    together = torch.vmap(lambda key: uniform(fold_in(key, 2), (3, 5)))(keys)
    alone = torch.stack([uniform(fold_in(key, 2), (3, 5)) for key in keys])
    assert torch.equal(together, alone)


def test_fold_in_gives_distinct_keys():
    keys = fold_in(torch.arange(100)[:, None], torch.arange(100))
    assert keys.shape == (100, 100)
    assert keys.dtype == torch.int64
    assert keys.min() >= 0
    assert keys.max() < 2**32
    assert len(fold_in(torch.tensor(7), torch.arange(100_000)).unique()) == 100_000


def test_fold_in_keeps_the_streams_of_neighbouring_keys_apart():
    """Element j of stream k is not element j + 1 of stream k - 1."""
    keys = fold_in(torch.arange(100)[:, None], torch.arange(100))
    assert len(keys.unique()) > 9_990  # 10,000 draws from 2**32 rarely collide


@given(key=keys, data=st.integers(0, 10**6))
def test_fold_in_takes_numbers_and_tensors(key, data):
    assert torch.equal(fold_in(torch.tensor(key), data), fold_in(torch.tensor(key), torch.tensor(data)))


def test_numbers_are_the_same_on_every_machine():
    """These numbers are a promise: other ones would change every recorded curve of a dropout task."""
    assert key_from() == 1120186595
    assert key_from(0, "noise", "train") == 2957099953
    assert key_from(4, "noise", "eval/test") == 2223611689
    assert fold_in(torch.tensor(123), torch.arange(3)).tolist() == [1706266676, 790532978, 1071909925]
    assert [round(n * 2**24) for n in uniform(torch.tensor(123), (4,)).tolist()] == [
        12397565,
        8843825,
        9789751,
        9612391,
    ]


def test_key_from_tells_its_parts_apart():
    parts = [(s, "noise", name) for s in range(50) for name in ("train", "eval/train", "eval/test")]
    assert len({key_from(*p) for p in parts}) == len(parts)
    assert all(0 <= key_from(*p) < 2**32 for p in parts)
    assert key_from(1, "train") == key_from("1", "train")
