"""Any sequence of operations leaves a storage as it leaves a dict, whatever the names are."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from optsuite import storage
from optsuite.errors import StorageError

names = st.one_of(
    st.sampled_from(
        ["a", "b.curves", "a::b", "#", "%2F", "?", "*", "[a]", " ", "a.curves.bad", "ä", "x" * 255]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=30).filter(
        lambda name: not name.startswith(".")  # which no listing shows
    ),
)
contents = st.binary(max_size=50)


class StorageModel(RuleBasedStateMachine):
    """Files of two folders, and the dict that they should be."""

    def make_root(self):
        raise NotImplementedError

    @initialize(folder=names)
    def begin(self, folder):
        self.root = self.make_root()
        self.folders = [self.root, storage.join_url(self.root, "deep", folder.replace("::", ":"))]
        self.files: dict[str, bytes] = {}

    def url(self, folder, name):
        return storage.join_url(
            self.folders[folder], name.replace("::", ":") if "memory" in self.root else name
        )

    places = st.tuples(st.integers(0, 1), names.filter(lambda name: name != "deep"))
    known = Bundle("known")

    @rule(target=known, place=places)
    def name(self, place):
        return self.url(*place)

    @rule(url=known, content=contents)
    def write(self, url, content):
        storage.write_bytes(url, content)
        self.files[url] = content

    @rule(url=known, content=contents)
    def create(self, url, content):
        assert storage.create(url, content) == (url not in self.files)
        self.files.setdefault(url, content)

    @rule(url=known)
    def remove(self, url):
        if self.files.pop(url, None) is None:
            with pytest.raises(storage.MissingFileError):
                storage.remove(url)
        storage.remove(url, missing_ok=True)

    @rule(url=known)
    def read(self, url):
        assert storage.exists(url) == (url in self.files)
        if url in self.files:
            assert storage.read_bytes(url) == self.files[url]
        else:
            with pytest.raises(storage.MissingFileError):
                storage.read_bytes(url)

    @rule(url=known)
    def set_aside(self, url):
        if len(url.rpartition("/")[2].encode()) > 251:
            return
        if url in self.files:
            assert storage.set_aside(url) == f"{url}.bad"
            self.files[f"{url}.bad"] = self.files.pop(url)
        else:
            with pytest.raises(storage.MissingFileError):
                storage.set_aside(url)

    @rule()
    def sweep(self):
        assert [storage.sweep_temporaries(folder) for folder in self.folders] == [[], []]

    @rule(folder=st.integers(0, 1))
    def check(self, folder):
        storage.check_writable(self.folders[folder], "x/y.curves")

    @invariant()
    def what_is_listed_is_there(self):
        if not hasattr(self, "files"):
            return
        for folder in self.folders:
            expected = sorted(url for url in self.files if url.rpartition("/")[0] == folder)
            listed = [url for url in storage.list_files(folder, "") if url != f"{self.root}/deep"]
            assert listed == expected


class LocalModel(StorageModel):
    def make_root(self):
        self.parent = tempfile.mkdtemp()
        return f"{self.parent}/a::b #%?"

    def teardown(self):
        shutil.rmtree(getattr(self, "parent", ""), ignore_errors=True)


class MemoryModel(StorageModel):
    def make_root(self):
        self.top = f"/{uuid.uuid4().hex} #%?"
        return f"memory:/{self.top}"

    def teardown(self):
        memory = fsspec.filesystem("memory")
        for path in [path for path in memory.store if path.startswith(self.top)]:
            memory.rm_file(path)


roots = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.lists(
        st.sampled_from(["a", "::", "://", "/", "#", "%2e", "?", ".", "..", " ", "~", "s3:", "\0"]),
        max_size=6,
    ).map("".join),
)


@given(roots)
@settings(deadline=None, max_examples=150)
def test_a_root_round_trips_or_is_refused_before_anything_is_written(name):
    with tempfile.TemporaryDirectory() as parent:
        (folder := Path(parent, "in", "side")).mkdir(parents=True)
        (folder / "a").touch()
        before = set(Path(parent).rglob("*"))
        root = f"{folder}/x{name}"  # `..` leads as far as `in`
        try:
            storage.check_writable(root, "T/x.curves")
        except StorageError:
            assert set(Path(parent).rglob("*")) == before
            return
        url = storage.join_url(storage.clean_root(root), "T", "x.curves")
        assert set(Path(parent).rglob("*")) == before
        storage.write_bytes(url, b"1")
        assert storage.read_bytes(url) == b"1"
        assert "T" in storage.list_tasks(storage.clean_root(root))
        assert storage.list_files(url.rpartition("/")[0], ".curves") == [url]
        written = {path for path in set(Path(parent).rglob("*")) - before if path.is_file()}
        assert written == {Path(os.path.realpath(url))}


for model in (LocalModel, MemoryModel):
    model.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLocal, TestMemory = LocalModel.TestCase, MemoryModel.TestCase
