"""The matrix: every task crossed with every hparam set, one item a config.

`pytest benchmarks -k "Cifar10 and Adam"` trains, records and archives; `--help` lists the options.
"""


def test_baseline(cell_config, curve_store):
    """Every repetition of the config is recorded; one that diverged is a result, not a failure."""
    curves = curve_store.curves(cell_config)
    assert [curve.seed for curve in curves] == [trial.seed for trial in cell_config.trials]
