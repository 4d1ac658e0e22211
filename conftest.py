"""Settings for every test and benchmark of this repository."""

pytest_plugins = ["pytester"]
