"""Files of normalizers, their definitions, and what a session makes of its archives."""

import subprocess
import sys
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scales import BASELINES, EXAMPLE, GOLDEN_SETS, GOLDENS, TASK, archive, get, put, some_normalizers

from optsuite import normalizers, storage
from optsuite.errors import StorageError, UnknownNameError
from optsuite.normalizers import Normalizer

SHORT = [f"speedup_over_{kind}_30_R2" for kind in ("adam", "multiple_baselines")]


def equal(left, right):
    return left.keys() == right.keys() and all(
        np.array_equal(left[task].xs, right[task].xs) and np.array_equal(left[task].ys, right[task].ys)
        for task in left
    )


def archive_all(root, length="30_R2", **arguments):
    return [archive(root, f"{family}_{length}", **arguments) for family in BASELINES]


TABLES = st.dictionaries(st.sampled_from("ABCDE"), some_normalizers(), min_size=1)


# Files


@settings(deadline=None)
@given(TABLES)
def test_writing_then_loading_is_the_identity(table):
    url = f"memory://{uuid.uuid4().hex}/n.json"
    normalizers.write(table, url)
    assert equal(normalizers.load(url), table)


@settings(deadline=None)
@given(TABLES, TABLES)
def test_overwriting_is_the_union_with_the_newer_ahead(old, new):
    url = f"memory://{uuid.uuid4().hex}/n.json"
    normalizers.write(old, url)
    normalizers.write(new, url, overwrite=True)
    assert equal(normalizers.load(url), old | new)


def test_other_normalizers_of_a_task_are_not_overwritten_unasked(root):
    url = f"{root}/n.json"
    normalizers.write({"B": EXAMPLE, "A": EXAMPLE}, url)
    other = Normalizer([0, 1], [1, 0])
    before = get(url)
    with pytest.raises(StorageError, match=r"n\.json` has other normalizers of A, B: pass overwrite=True"):
        normalizers.write({"C": EXAMPLE, "B": other, "A": other}, url)
    assert get(url) == before
    normalizers.write({"C": EXAMPLE, "A": EXAMPLE}, url)  # what is the same is no conflict
    assert list(normalizers.load(url)) == ["A", "B", "C"]


WRITER = """
import sys
from optsuite import normalizers
from optsuite.normalizers import Normalizer

for number in range(30):
    normalizers.write({f"{sys.argv[2]}{number}": Normalizer([0, 1], [number, 0])}, sys.argv[1])
"""


def test_all_that_two_sessions_write_at_a_time_is_kept(tmp_path):
    url = str(tmp_path / "n.json")
    sessions = [subprocess.Popen([sys.executable, "-c", WRITER, url, name]) for name in "AB"]
    assert [session.wait() for session in sessions] == [0, 0]
    assert normalizers.load(url).keys() == {f"{name}{number}" for name in "AB" for number in range(30)}
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["n.json"]


def test_a_file_that_would_be_too_large_to_read_is_not_written(root, monkeypatch):
    url = f"{root}/n.json"
    normalizers.write({"A": EXAMPLE}, url)
    before = get(url)
    monkeypatch.setattr(storage, "MOST_JSON", 100)
    with pytest.raises(StorageError, match="cannot hold normalizers of 2 tasks: needed at most 100 bytes"):
        normalizers.write({"B": EXAMPLE}, url)
    assert get(url) == before


def test_a_file_that_holds_the_same_is_not_rewritten(root):
    url = f"{root}/n.json"
    put(url, b'{"A": [[0, 1], [2, 1.5]]}')  # not as we would write it
    normalizers.write({"A": Normalizer([0, 1], [2, 1.5])}, url)
    assert get(url) == b'{"A": [[0, 1], [2, 1.5]]}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\xff", r"`.*/n\.json` is not readable JSON"),
        (b'{"A": [', r"`.*/n\.json` is not readable JSON"),
        (b"[" * 100_000, r"`.*/n\.json` is not readable JSON \(RecursionError"),
        (b'{"A": [[0, 1], [1' + b"0" * 400 + b", 0]]}", "at most 300 digits"),
        (b'{"A": [[0, Infinity], [1, 0]]}', "Infinity is no finite number"),
        (b'{"A": [[0, 1], [1, -1e999]]}', "is no finite number"),
        (b'{"A": [[0, 1], [1, 0]], "A": [[0, 1], [2, 0]]}', "a key is there twice"),
        (b'{"A": ' + b"[" * 50 + b"]" * 50 + b"}", "of `A` "),
        (b"[]", r"needed \{\"task\": \[xs, ys\], \.\.\.\}, got a list"),
        (b'{"A": 1}', r"normalizer of `A` in `.*/n\.json`: needed \[xs, ys\]; "),
        (b'{"A": [[0, 1], [1, 0], []]}', r"of `A` .*needed \[xs, ys\]"),
        (b'{"A": ["a", "b"]}', r"of `A` .*must be numbers \(got 'a'\)"),
        (b'{"A": [["0", 1], [1, 0]]}', r"of `A` .*must be numbers \(got '0'\)"),
        (b'{"A": [[0, true], [1, 0]]}', r"of `A` .*must be numbers \(got True\)"),
        (b'{"A": [[0, [1]], [1, 0]]}', "of `A` "),
        (b'{"A": [[0, 1], [1, null]]}', "of `A` .*ys must be numbers"),
    ],
)
def test_a_file_that_is_not_understood_is_named(content, message, root):
    put(f"{root}/n.json", content)
    with pytest.raises(storage.CorruptFileError, match=message):
        normalizers.load(f"{root}/n.json")
    with pytest.raises(storage.CorruptFileError, match=message):  # nor is it overwritten
        normalizers.write({"A": EXAMPLE}, f"{root}/n.json", overwrite=True)


def test_a_missing_file_is_named(root):
    with pytest.raises(storage.MissingFileError, match=r"cannot read `.*/n\.json`"):
        normalizers.load(f"{root}/n.json")


def test_a_task_without_normalizer_is_an_error_with_the_file_and_the_nearest_names():
    url = str(GOLDENS / "speedup_over_adam.json")
    loaded = normalizers.load(url)
    assert loaded.url == url
    assert "ImageMLP_FashionMnist8" not in loaded
    with pytest.raises(UnknownNameError, match=rf"adam\.json`\) `ImageMLP_FashionMnist8`: did.* {TASK}"):
        loaded["ImageMLP_FashionMnist8"]


# Definitions


def test_the_published_definitions():
    assert {d.name: (d.sets, d.num_knots) for d in normalizers.DEFINITIONS.values()} == {
        "speedup_over_adam": (("AdamLR_100000_R5",), 512),
        "speedup_over_multiple_baselines": (tuple(f"{b}_100000_R5" for b in BASELINES), 512),
        "speedup_over_adam_v2": (("AdamLR_300000_R5",), 2048),
        "speedup_over_multiple_baselines_v2": (tuple(f"{b}_300000_R5" for b in BASELINES), 2048),
    }
    assert all(normalizers.get_definition(name) is d for name, d in normalizers.DEFINITIONS.items())


@settings(deadline=None)
@given(st.sampled_from(list(GOLDEN_SETS)), st.integers(1, 10**6), st.integers(1, 99))
def test_a_name_says_its_length(kind, num_steps, repetitions):
    definition = normalizers.get_definition(f"{kind}_{num_steps}_R{repetitions}")
    assert {name.split("_", 1)[1] for name in definition.sets} == {f"{num_steps}_R{repetitions}"}
    assert definition.name in normalizers.definition_names(num_steps, repetitions)
    assert normalizers.get_definition(definition.name) == definition


def test_published_lengths_have_published_names():
    for num_steps, ending in ((100_000, ""), (300_000, "_v2")):
        names = [kind + ending for kind in GOLDEN_SETS]
        assert normalizers.definition_names(num_steps, 5) == names
        assert normalizers.get_definition(f"speedup_over_adam_{num_steps}_R5").name == names[0]
    assert normalizers.definition_names(300_000, 4)[0] == "speedup_over_adam_300000_R4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("speedup_over_adm", "normalizer `speedup_over_adm`: did you mean speedup_over_adam"),
        ("speedup_over_adm_20_R2", "did you mean speedup_over_adam_20_R2"),
        ("speedup_over_adam_020_R2", "did you mean speedup_over_adam"),
        ("speedup_over_adam_v2_20_R2", "did you mean speedup_over_adam_20_R2"),
        ("x", "valid names are speedup_over_adam, "),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name, message):
    with pytest.raises(UnknownNameError, match=message):
        normalizers.get_definition(name)


@pytest.mark.parametrize("name", normalizers.DEFINITIONS)
def test_published_normalizers_are_loaded_from_the_archives_root(name, root, monkeypatch):
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", f"{root}/")
    load = getattr(normalizers, name)
    with pytest.raises(
        storage.MissingFileError,
        match=rf"{name}\.json`: .*`optsuite normalizer {name}`.*https://raw.*/baselines/data/{name}\.json",
    ):
        load()
    normalizers.write({TASK: EXAMPLE}, normalizers.get_definition(name).url())
    assert equal(load(), {TASK: EXAMPLE})
    assert equal(load(f"{root}/{name}.json"), {TASK: EXAMPLE})


# After a session


def test_an_update_makes_what_the_archives_allow(root):
    archive_all(root, task="T")
    archive(root, "AdamLR_30_R2", task="U")
    archive(root, "AdamLR_40_R2", task="T")
    updated = normalizers.update([("T", "SGDLR_30_R2"), ("U", "AdamLR_30_R2"), ("V", "odd")], root)
    assert updated.problems == []
    assert updated.urls == {name: f"{root}/{name}.json" for name in SHORT}
    loaded = [normalizers.load(url) for url in updated.urls.values()]
    assert [sorted(table) for table in loaded] == [["T", "U"], ["T"]]
    for name, table in zip(SHORT, loaded, strict=True):
        sets = normalizers.get_definition(name).sets
        assert equal({"T": table["T"]}, {"T": normalizers.build("T", sets, root=root)})
    assert equal(normalizers.load_for([("T", "AdamLR_30_R2")], root)[SHORT[1]], loaded[1])


def test_an_update_uses_the_default_root(root, monkeypatch):
    monkeypatch.setenv("LOPT_BASELINE_ARCHIVES_DIR", root)
    archive_all(None)
    cells = [(TASK, "AdamLR_30_R2")]
    assert list(normalizers.update(cells).urls) == SHORT
    assert list(normalizers.load_for(cells)) == SHORT


def test_an_update_replaces_and_keeps_the_rest(root):
    archive(root, "AdamLR_30_R2")
    normalizers.write({TASK: EXAMPLE, "Other": EXAMPLE}, f"{root}/{SHORT[0]}.json")
    updated = normalizers.update([(TASK, "AdamLR_30_R2")], root)
    loaded = normalizers.load(updated.urls[SHORT[0]])
    assert loaded[TASK].xs.size == 512
    assert loaded["Other"].xs.size == 4
    assert updated.problems == [f"replaced the normalizers of {TASK} in `{updated.urls[SHORT[0]]}`"]
    assert normalizers.update([(TASK, "AdamLR_30_R2")], root).problems == []


def test_an_update_reads_each_archive_once_and_no_more_of_it_than_it_needs(root, monkeypatch):
    archive_all(root)
    fetched, opened = [], set()
    read_bytes, getitem = storage._npz.read_bytes, storage.Npz.__getitem__
    monkeypatch.setattr(storage._npz, "read_bytes", lambda url, **w: fetched.append(url) or read_bytes(url))
    monkeypatch.setattr(storage.Npz, "__getitem__", lambda npz, key: opened.add(key) or getitem(npz, key))
    normalizers.update([(TASK, "AdamLR_30_R2"), (TASK, "RAdamLR_30_R2")], root)
    assert sorted(fetched) == sorted(f"{root}/{TASK}/{family}_30_R2.npz" for family in BASELINES)
    assert {key for key in opened if "/" in key} == {"eval/xs", "eval/train/loss", "train/loss"}


def test_without_archives_an_update_makes_nothing(root):
    assert normalizers.update([(TASK, "AdamLR_30_R2")], root) == ({}, [])
    assert normalizers.update([], root) == ({}, [])
    assert normalizers.load_for([(TASK, "AdamLR_30_R2")], root) == {}


def test_what_cannot_be_made_does_not_cost_the_rest(root):
    archive(root, "AdamLR_30_R2", task="Good")
    archive_all(root, task="Torn")
    put(f"{root}/Torn/RAdamLR_30_R2.npz", b"bad")
    archive(root, "AdamLR_30_R2", [[[4, np.nan, np.nan, np.nan]]], task="Diverged")
    cells = [(task, "AdamLR_30_R2") for task in ("Diverged", "Torn", "Good")]
    updated = normalizers.update(cells, root)
    torn, diverged = updated.problems
    assert "Torn/RAdamLR_30_R2.npz" in torn
    assert "`Diverged`: every config of AdamLR_30_R2 diverged, from step 10 on" in diverged
    assert list(normalizers.load(updated.urls[SHORT[0]])) == ["Good", "Torn"]
    assert SHORT[1] not in updated.urls


def test_a_torn_file_is_a_problem_and_is_left_for_the_user(root):
    archive_all(root)
    put(f"{root}/{SHORT[0]}.json", b"bad")
    updated = normalizers.update([(TASK, "AdamLR_30_R2")], root)
    assert len(updated.problems) == 1
    assert f"{SHORT[0]}.json` is not readable JSON" in updated.problems[0]
    assert get(f"{root}/{SHORT[0]}.json") == b"bad"
    assert list(normalizers.load(updated.urls[SHORT[1]])) == [TASK]


def test_a_torn_file_does_not_cost_the_others(root):
    normalizers.write({TASK: EXAMPLE}, f"{root}/{SHORT[0]}.json")
    put(f"{root}/{SHORT[1]}.json", b"bad")
    problems = []
    loaded = normalizers.load_for([(TASK, "AdamLR_30_R2")], root, problems)
    assert list(loaded) == SHORT[:1]
    assert len(problems) == 1
    assert f"{SHORT[1]}.json is not readable JSON" in problems[0].replace("`", "")
    with pytest.raises(storage.CorruptFileError, match=SHORT[1]):
        normalizers.load_for([(TASK, "AdamLR_30_R2")], root)


def test_an_empty_file_says_that_it_is_empty(root):
    put(f"{root}/{SHORT[0]}.json", b"{}")
    with pytest.raises(UnknownNameError, match=r"`T`: valid names are none: the file is empty$"):
        normalizers.load(f"{root}/{SHORT[0]}.json")["T"]
