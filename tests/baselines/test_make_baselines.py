"""The table of the command that makes the packaged baselines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from optsuite import baselines, list_tasks
from optsuite.hparam_sets import get_hparam_set
from optsuite.suites import get_suite

FILE = Path(__file__).parents[2] / "benchmarks" / "make_baselines.py"
_spec = importlib.util.spec_from_file_location("make_baselines", FILE)
make_baselines = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_baselines)


def test_each_cell_exists_once():
    assert len(set(make_baselines.CELLS)) == len(make_baselines.CELLS)
    assert {task for task, _ in make_baselines.CELLS} <= set(list_tasks())
    assert all(get_hparam_set(name).name == name for _, name in make_baselines.CELLS)


def test_all_opponents_of_the_quick_suite_are_made():
    suite = get_suite("cpu-quick")
    needed = {(task, suite.set_of(family)) for task in suite.tasks for family in suite.families}
    assert needed <= set(make_baselines.CELLS)


def test_the_package_has_no_others():
    assert set(baselines.available()) <= set(make_baselines.CELLS)


def test_what_is_complete_is_packed_and_the_rest_is_named(tmp_path, monkeypatch, capsys):
    packed = []
    task, name = make_baselines.CELLS[1]
    (tmp_path / "archives" / task).mkdir(parents=True)
    (tmp_path / "archives" / task / f"{name}.npz").touch()
    monkeypatch.setattr(
        make_baselines.baselines, "pack", lambda cells, *_, **about: packed.append((cells, about))
    )
    monkeypatch.setattr(make_baselines.normalizers, "write", lambda *_, **__: [])
    monkeypatch.setattr(make_baselines.normalizers, "build", lambda *_, **__: None)
    places = ["--storage", str(tmp_path / "store"), "--archives", str(tmp_path / "archives")]
    monkeypatch.setattr("sys.argv", ["make_baselines.py", *places, "--pack", "--commit=abc", "--device=here"])
    assert make_baselines.main() == 0
    assert packed == [([(task, name)], {"commit": "abc", "device": "here"})]
    out = capsys.readouterr().out
    assert f"packed 1 of {len(make_baselines.CELLS)} cells" in out
    assert "not trained yet: ImageMLP_FashionMnist8_Relu32 AdamLR_2000_R5" in out
