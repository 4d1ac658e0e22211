"""The matrix: every task crossed with every hparam set, one item a setting.

`pytest benchmarks -k "Cifar10 and Adam"` trains, records and archives; `--help` lists the options.
"""


def test_baseline(setting, curve_store):
    """Every repetition of the setting is recorded; one that diverged is a result, not a failure."""
    curves = curve_store.curves(setting)
    assert [curve.seed for curve in curves] == [trial.seed for trial in setting.trials]
