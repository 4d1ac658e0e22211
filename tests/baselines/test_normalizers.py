"""The normalizers that come with the baselines."""

from __future__ import annotations

from optsuite import baselines, normalizers


def test_there_is_one_for_each_task_of_the_baselines_of_adam():
    tasks = {task for task, name in baselines.available() if name == "AdamLR_2000_R5"}
    scale = normalizers.packaged()
    assert set(scale) == tasks
    assert all(scale[task].horizon == 2000 for task in tasks)


def test_adam_itself_needs_all_the_steps_to_its_lowest_loss():
    for task, normalizer in normalizers.packaged().items():
        steps = normalizer(baselines.load(task, "AdamLR_2000_R5").losses["train"][..., -1].mean(axis=1))
        assert 1000 < steps.max() <= 2000
