"""The source of OptList, and the errors that a bad list raises."""

from __future__ import annotations

import hashlib
import json
import re
import uuid

import fsspec
import pytest

from optsuite import storage
from optsuite.errors import StorageError
from optsuite.optimizers import _opt_list, check_hparams, get_optimizer, read_opt_list

ENTRY = {
    "learning_rate": 0.1,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "use_nesterov": True,
    "adamw_weight_decay": 0.02,
    "l2_weight_decay": 0.03,
    "warmup_fraction": 0.04,
    "min_learning_rate_mult": 0,
    "constant_fraction": 0.5,
}


@pytest.fixture
def url(monkeypatch):
    """URL of a list of the user's own, which does not exist yet."""
    url = f"memory://{uuid.uuid4().hex}/list.json"
    monkeypatch.setenv("OPTSUITE_OPT_LIST", url)
    return url


def write(url, entries):
    content = json.dumps(entries).encode()
    storage.write_bytes(url, content)
    return content


def test_an_entry_has_our_names_and_float32_numbers(url):
    write(url, [ENTRY] * 1000)
    entry = read_opt_list()[7]
    rounded = {
        "lr": 0.10000000149011612,
        "beta1": 0.8999999761581421,
        "beta2": 0.9990000128746033,
        "eps": 9.99999993922529e-09,
        "weight_decay": 0.019999999552965164,
        "l2_weight_decay": 0.029999999329447746,
        "warmup_fraction": 0.03999999910593033,
        "min_lr_mult": 0.0,
        "constant_fraction": 0.5,
    }
    assert entry == rounded | {"nesterov": True}
    assert {type(value) for value in entry.values()} == {float, bool}
    check_hparams("NAdamWCosineLR", entry)


def test_a_list_is_read_once_and_only_when_it_is_asked_for(url):
    check_hparams("OptList", {"idx": 7})
    write(url, [ENTRY] * 1000)
    assert read_opt_list() is read_opt_list()
    storage.remove(url)
    get_optimizer("OptList", idx=999)


@pytest.mark.usefixtures("url")
def test_a_missing_list_is_named():
    with pytest.raises(StorageError, match=r"cannot read `memory://\w+/list.json`: there is no such file"):
        get_optimizer("OptList", idx=0)


BAD = [
    ({"OptList0": ENTRY}, "needs a list of 1000 entries, got dict"),
    ([ENTRY] * 7, "needs a list of 1000 entries, got 7 of them"),
    ([ENTRY] * 999 + [3], "entry 999 of `memory://"),
    ([3] * 1000, "needs the keys learning_rate, beta1, beta2, epsilon"),
    ([{"lr": 0.1}] * 1000, "constant_fraction, warmup_fraction; got lr"),
    ([ENTRY | {"beta1": "0.9"}] * 1000, "`beta1` in entry 0 of `memory://"),
    ([ENTRY | {"beta1": True}] * 1000, "must be a number that float32 can hold, got True"),
    ([ENTRY | {"beta1": -1e39}] * 1000, "must be a number that float32 can hold, got -1e+39"),
    ([ENTRY | {"use_nesterov": 1}] * 1000, "must be true or false, got 1"),
]


@pytest.mark.parametrize(("entries", "words"), BAD)
def test_a_list_of_another_form_says_what_is_needed_and_what_came(entries, words, url):
    write(url, entries)
    with pytest.raises(storage.CorruptFileError, match=re.escape(words)):
        read_opt_list()


@pytest.mark.parametrize(
    "content", [b"\x80 no text", b"[" * 100_000, b"[Infinity]", b"[1e400]", b"[1" + b"0" * 400 + b"]"]
)
def test_a_file_that_is_no_json_is_named(url, content):
    storage.write_bytes(url, content)
    with pytest.raises(storage.CorruptFileError, match=r"list\.json` is not readable JSON"):
        read_opt_list()


# The published file.


@pytest.fixture
def published(monkeypatch, tmp_path):
    """URLs of a file in place of the published one, which does not exist yet, and of its copy."""
    url = f"memory://{uuid.uuid4().hex}/published.json"
    monkeypatch.delenv("OPTSUITE_OPT_LIST")
    monkeypatch.setenv("OPTSUITE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(_opt_list, "_URL", url)
    monkeypatch.setattr(_opt_list, "_entries", _opt_list._entries.__wrapped__)  # forgets at once
    return url, tmp_path / "opt_list.json"


def test_the_published_list_is_downloaded_once(published, monkeypatch):
    url, copy = published
    content = write(url, [ENTRY] * 1000)
    monkeypatch.setattr(_opt_list, "_SHA256", hashlib.sha256(content).hexdigest())
    first = read_opt_list()
    assert copy.read_bytes() == content
    fsspec.filesystem("memory").rm(url)
    assert read_opt_list() == first


def test_without_a_network_the_error_says_what_to_do(published):
    with pytest.raises(StorageError, match=r"are not on this machine \(cannot read .*OPTSUITE_OPT_LIST"):
        read_opt_list()


def test_another_file_than_the_published_one_is_not_taken(published):
    url, copy = published
    write(url, [ENTRY] * 1000)
    with pytest.raises(
        storage.CorruptFileError,
        match=rf"`{url}` is not the published list.*sha256 is [0-9a-f].*OPTSUITE_OPT",
    ):
        read_opt_list()
    assert not copy.exists()


def test_a_damaged_copy_is_named(published):
    _, copy = published
    copy.write_bytes(b"[]")
    with pytest.raises(storage.CorruptFileError, match=f"`{copy}` is not the published list.*: delete it"):
        read_opt_list()


def test_a_folder_that_cannot_be_written_is_no_error(published, monkeypatch):
    url, _ = published
    content = write(url, [ENTRY] * 1000)
    monkeypatch.setattr(_opt_list, "_SHA256", hashlib.sha256(content).hexdigest())

    def refuse(url, content):
        raise StorageError(f"cannot write `{url}`")

    monkeypatch.setattr(storage, "write_bytes", refuse)
    assert len(read_opt_list()) == 1000


@pytest.mark.usefixtures("published_opt_list")
def test_the_checksum_is_that_of_the_published_list(monkeypatch):
    path = _opt_list.os.environ["OPTSUITE_OPT_LIST"]
    assert hashlib.sha256(storage.read_bytes(path)).hexdigest() == _opt_list._SHA256
    assert read_opt_list()[7]["weight_decay"] == pytest.approx(0.04087020908564961, rel=1e-7)
