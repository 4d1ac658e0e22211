"""The page: self-contained, complete, in words where there is no number."""

from __future__ import annotations

import re
import uuid

import numpy as np
import pytest
from examples import FIXTURES, TASK

from optsuite import report, storage
from optsuite.archives import Absent
from optsuite.errors import StorageError
from optsuite.report._sections import SECTIONS

from .conftest import SETS
from .pages import Page

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def write(tmp_path):
    """Writes the page and reads it back."""

    def write(results, **arguments):
        written = report.write_report(str(tmp_path / "out" / "report.html"), results, **arguments)
        return Page(storage.read_bytes(written.url).decode())

    return write


def test_the_page_needs_nothing_from_elsewhere(add, read, write, facts):
    add("T")
    add("U", SETS[1])
    page = write(read(), facts=facts())
    addresses = set(re.findall(r"https?://[^\s\"'<>)]*", page.html))
    names = ("http://www.w3.org/", "https://github.com/leeoniya/uPlot")  # of a namespace and in a notice
    assert all(address.startswith(names) for address in addresses)
    assert "link" not in page.tags
    inside = ("#", "figures/", "file:///", "data:image/png;base64,")
    assert all(href.startswith(inside) for href in page.hrefs)


def test_ids_are_unique_and_anchors_lead_somewhere(add, read, write, root):
    for task in ("T", "U <b>", "V 50%"):
        add(task, lrs=(0.1,), loss=np.nan if task == "T" else 1)
        add(task, root=f"{root}_synthetic")
    page = write([*read(), *read(root=f"{root}_synthetic"), *read("W", "None_1_R1")])
    assert len(page.ids) == len(set(page.ids))
    assert {href[1:] for href in page.hrefs if href.startswith("#")} <= set(page.ids)


def test_the_table_tells_the_best_config(add, read, write):
    add(lrs=(0.1,), loss=0.25, data_source="real", extra={"seconds_per_step": 1 / 12_345})
    text = write(read()).text["summary"]
    assert (
        "T AdamLR_20_R2 real SGD_lr0.1 0.2500 0.2500\N{EN DASH}0.2500 0.2500 0.2500\N{EN DASH}0.2500 "
        "0.2500 0.2500\N{EN DASH}0.2500 25.00 25.00\N{EN DASH}25.00 0 of 2 12,340 2 20" in text
    )


def test_the_smallest_training_loss_of_each_task_and_kind_of_data_is_bold(add, read, write, root):
    for task, losses in {"T": (3, 2), "U": (4, 5)}.items():
        for hparam_set, loss in zip(SETS, losses, strict=True):
            add(task, hparam_set, loss=loss, data_source="real")
            add(task, hparam_set, loss=loss + 10, root=f"{root}_synthetic")
    page = write([*read(), *read(root=f"{root}_synthetic")])
    bold = re.findall(r'class="number best" data-order="([\d.]+)"', page.html)
    assert bold == ["2.0", "12.0", "4.0", "14.0"]


def test_the_best_is_that_of_as_many_steps(add, read, write):
    for hparam_set, num_steps, loss in (("A_20_R2", 20, 3), ("B_20_R2", 20, 4), ("C_1000_R2", 1000, 1)):
        add("T", hparam_set, lrs=(0.1,), num_steps=num_steps, loss=loss, data_source="real")
    add("T", "D_30_R2", num_steps=30, loss=np.nan, data_source="real")
    page = write(read())
    assert re.findall(r'class="number best" data-order="([\d.]+)"', page.html) == ["3.0", "1.0"]
    assert (
        "Best of 20 steps: A_20_R2 with SGD_lr0.1, train loss 3.000. "
        "No best config of 30 steps: all diverged. "
        "Best of 1,000 steps: C_1000_R2 with SGD_lr0.1, train loss 1.000. Training loss" in page.text["tasks"]
    )
    text = write(read("T", "*_20_*")).text["tasks"]
    assert text.startswith("Tasks T Best: A_20_R2 with SGD_lr0.1, train loss 3.000. Training loss")


def test_accuracy_has_a_column_only_if_it_was_recorded(add, read, write):
    add("T", accuracy=False)
    assert "accuracy" not in write(read()).text["summary"]
    add("U", accuracy=True)
    text = write(read()).text["summary"]
    assert "test accuracy, %" in text
    assert "not recorded" in text


def test_words_stand_where_numbers_cannot(add, read, write):
    add("Lost", lrs=(0.1, 0.2), loss=np.nan)
    add("Bad")
    storage.write_bytes(read("Bad")[0].url, b"bad")
    page = write([*read(), *read("None", SETS[1])])
    table, gaps = page.text["summary"], page.text["gaps"]
    assert "all diverged diverged diverged diverged diverged 4 of 4 not known 2 20" in table
    assert "Bad AdamLR_20_R2 unreadable" in table
    assert "None SGDLR_20_R2 no archive" in table
    assert "Unreadable 1 Bad-AdamLR_20_R2 `" in gaps
    assert "is not a readable npz file" in gaps
    assert "No archive 1 None-SGDLR_20_R2" in gaps
    assert "All diverged 1 Lost-AdamLR_20_R2" in gaps
    assert "3 cells of 3 tasks; 2 without results; 4 of 4 trials diverged" in page.text[""]


def test_what_was_evaluated_only_before_training_is_never_best(add, read, write, drawn):
    add("T", "AdamLR_9_R2", num_steps=9, data_source="real")
    page = write(read())
    row = "T AdamLR_9_R2 real not evaluated after training not evaluated not evaluated not evaluated"
    assert row in page.text["summary"]
    assert page.text["gaps"] == "Missing or diverged Not evaluated after training 1 T-AdamLR_9_R2"
    assert page.text["tasks"] == "Tasks T No best config: not evaluated after training."
    assert drawn == []


def test_any_reason_to_be_absent_is_told(add, read, write):
    class Melted(Absent):
        reason = "melted"

    add(data_source="real")
    melted = Melted(task="T", hparam_set="S_1_R1", url="a/T/S_1_R1.npz", error=StorageError("too hot"))
    page = write([*read(), melted])
    assert "T S_1_R1 melted" in page.text["summary"]
    assert page.text["gaps"] == "Missing or diverged Melted 1 T-S_1_R1 too hot"
    assert "2 cells of 1 task; 1 without results" in page.text[""]


def test_a_session_that_recorded_nothing_tells_why(read, write, facts):
    failed = facts(
        failures=[("T-S-SGD_lr1", "no memory")], data={"MNIST": "STAND-IN"}, archives=[], curves=[]
    )
    page = write([], facts=failed)
    assert set(page.text) == {"", "session", "gaps"}  # no stand-ins are shown
    assert "no results; 1 config failed" in page.text[""]
    assert page.text["gaps"] == "Missing or diverged Failed 1 T-S-SGD_lr1 no memory"
    page = write(read("T", SETS), facts=failed)
    assert set(page.text) == {"", "session", "summary", "gaps"}
    assert "T AdamLR_20_R2 no archive T SGDLR_20_R2 no archive" in page.text["summary"]
    assert "2 cells of 1 task; 2 without results; 1 config failed" in page.text[""]


def test_a_loss_that_is_not_finite_beside_a_training_loss_that_is(add, read, write):
    nan = np.array([1, 1, np.nan], np.float32)
    metrics = {f"{split}/{name}": np.ones(3) for split in ("train", "test") for name in ("loss", "accuracy")}
    metrics |= {f"{split}/loss_normalized": np.ones(3) for split in ("train", "outer_valid", "test")}
    add(eval_metrics={**metrics, "outer_valid/loss": nan})
    assert "1.000 1.000\N{EN DASH}1.000 not finite 1.000" in write(read()).text["summary"]


def test_one_seed_has_no_range(add, read, write):
    add(seeds=(0,), loss=2)
    assert "2.000 2.000 2.000" in write(read()).text["summary"]


def test_a_cell_that_another_root_has_is_not_missing(add, read, write, root):
    add(root=f"{root}_synthetic")
    cells = [*read("T", SETS[0]), *read("T", SETS, root=f"{root}_synthetic"), *read("T", SETS[1])]
    page = write(cells)
    assert page.text["gaps"] == "Missing or diverged No archive 1 T-SGDLR_20_R2"
    assert "2 cells of 1 task; 1 without" in page.text[""]


def test_a_session_tells_what_it_did(add, read, write, facts):
    add()
    page = write(
        read(),
        facts=facts(
            failures=[("T-S-SGD_lr1", "OutOfMemoryError: one\ntwo")],
            left_out=["A-S", "B-S"],
            warnings=["no normalizer"],
            curves=["s3://bucket/curves"],
        ),
    )
    for words in (
        "1,200 trained, 30 recorded before",
        "3 min 20 s from 2026-11-23 21:13 UTC",
        "cpu (2 threads)",
        "quick",
        "CIFAR-10: real",
        "Python 3.12.4",
        "pytest benchmarks -k 'Cifar10 and Adam'",
    ):
        assert words in page.text["session"]
    assert "Failed 1 T-S-SGD_lr1 OutOfMemoryError: one two" in page.text["gaps"]
    assert "Left out by the preset 2 A-S B-S Warnings 1 no normalizer" in page.text["gaps"]
    assert "Archives /data/archives Curves s3://bucket/curves Figures" in page.text["files"]
    assert "file:///data/archives" in page.hrefs
    assert "s3://bucket/curves" not in page.hrefs
    assert "optsuite report, 2026-11-23 21:13 UTC" in page.text[""]
    assert "1 config failed" in page.text[""]


def test_a_page_made_by_hand_tells_its_roots(add, read, write, root):
    add()
    text = write(read()).text["session"]
    assert "by hand" in text
    assert root in text


def test_stand_ins_are_told_on_top(add, read, write, facts):
    add(data_source="real")
    assert "notice" not in write(read(), facts=facts()).text
    add("U")
    data = {"MNIST": "STAND-IN, not MNIST (to get it: ...)", "CIFAR-10": "real"}
    text = write(read(), facts=facts(data=data)).text["notice"]
    assert text.startswith("Some of these results were trained on stand-in data")
    assert "MNIST : not MNIST (to get it: ...) Tasks: U." in text
    assert write(read("U")).text["notice"].startswith("All of these results")


def test_all_words_are_escaped(add, read, write, facts):
    word = "<script>alert('&')</script>"
    add(f"T{word.replace('/', '')}")
    page = write(
        read(),
        facts=facts(
            command=word,
            device=word,
            preset=word,
            left_out=[word],
            warnings=[word],
            versions={word: word},
            data={word: word},
            failures=[(word, word)],
            curves=[word],
            archives=[word],
        ),
    )
    assert page.tags.count("script") == 3
    assert page.text["gaps"].count(word) == 4


def test_empty_sections_are_left_out(add, read, write, facts):
    assert set(write([]).text) == {"", "session"}
    assert set(write([], facts=facts()).text) == {"", "session", "files"}
    add(data_source="real")
    assert set(write(read()).text) == {"", "session", "summary", "tasks", "files"}


def test_every_section_has_a_template_and_a_name_of_its_own():
    names = [section.name for section in SECTIONS]
    assert len(set(names)) == len(names)


def test_a_page_may_lie_in_any_store(add, read):
    add()
    root = f"memory://{uuid.uuid4().hex}"
    written = report.write_report(f"{root}/reports/report.html", read())
    assert written == (f"{root}/reports/report.html", [])
    page = Page(storage.read_bytes(written.url).decode())
    (figure,) = [href for href in page.hrefs if re.match(r"figures/T-curves-stand-in-.*\.png", href)]
    assert storage.read_bytes(f"{root}/reports/{figure}") == b"PNG T"


def test_a_page_in_this_folder_has_its_figures_beside_it(add, read, tmp_path, monkeypatch):
    add()
    monkeypatch.chdir(tmp_path)
    assert report.write_report("report.html", read()).problems == []
    assert len(list((tmp_path / "figures").glob("T-lr-stand-in-*.svg"))) == 1


def test_a_page_that_cannot_be_written_is_an_error(tmp_path, read):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write `.*file/report\.html`"):
        report.write_report(f"{tmp_path}/file/report.html", [])


@pytest.mark.parametrize("fixtures", FIXTURES)
def test_the_originals_archives_give_a_page(read, write, fixtures):
    page = write(read(root=str(fixtures / "archives")))
    assert f"{TASK} SGDLR_100_R2 real SGD_lr0.1 1.284 1.274\N{EN DASH}1.294" in page.text["summary"]
