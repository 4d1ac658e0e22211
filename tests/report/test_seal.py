"""Only figures that a user's own sessions drew get into his pages, whoever writes to their folder."""

import subprocess
import sys

import pytest

from optsuite import report
from optsuite.report import _seal

from .pages import Page

PLANTED = b'<svg onload="steal()"><script>steal()</script></svg>'


@pytest.fixture
def key(tmp_path, monkeypatch):
    """The file of a key that is not made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return _seal.key_file()


@pytest.fixture
def write(add, read, drawn, tmp_path):
    """Writes the page, gives it, and forgets what was drawn before."""
    add("T", lrs=(0.1,), data_source="real")

    def write():
        drawn.clear()
        written = report.write_report(str(tmp_path / "report.html"), read())
        assert written.problems == []
        return Page((tmp_path / "report.html").read_text())

    return write


@pytest.fixture
def svg(write, tmp_path):
    """The file of a figure that is drawn already."""
    write()
    (file,) = (tmp_path / "figures").glob("T-curves-*.svg")
    return file


def with_seal_of(content, svg):
    """What looks sealed but is not: another file's seal after foreign content."""
    return content + svg.read_bytes()[-len(_seal._MARK % _seal._code(b"", "")) :]


@pytest.mark.parametrize("forge", [lambda content, svg: content, with_seal_of])
def test_a_planted_figure_is_drawn_again_and_overwritten(write, svg, drawn, forge):
    whole = svg.read_bytes()
    svg.write_bytes(forge(PLANTED, svg))
    page = write()
    assert "steal" not in page.html
    assert [name for name, _ in drawn] == ["draw_curves"]
    assert svg.read_bytes() == whole
    write()
    assert drawn == []


def test_a_figure_does_not_pass_for_another(write, svg, drawn, tmp_path):
    (other,) = (tmp_path / "figures").glob("T-lr-*.svg")
    svg.write_bytes(other.read_bytes())
    write()
    assert [name for name, _ in drawn] == ["draw_curves"]


def test_figures_of_another_user_are_drawn_again(write, svg, drawn, key):
    write()  # with a key of this test alone
    assert len(drawn) == 2


def test_a_seal_is_a_comment_that_no_page_shows(write, svg):
    assert svg.read_bytes().endswith(b" -->\n")
    assert "<!-- optsuite" not in write().html


def test_a_sealed_figure_is_given_back_by_its_name_alone(key):
    sealed = _seal.seal(b"<svg/>", "a")
    assert _seal.unsealed(sealed, "a") == b"<svg/>"
    assert _seal.unsealed(sealed, "b") is None
    assert _seal.unsealed(sealed[1:], "a") is None
    assert _seal.unsealed(b"", "a") is None


def test_the_key_is_one_and_this_users_alone(key):
    made = _seal._made(key)
    assert len(made) == 32
    assert _seal._made(key) == _seal._kept(key) == made
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key.parent.iterdir()] == ["figures.key"]


@pytest.mark.parametrize("spoil", ["short", "long", "open"])
def test_a_key_that_is_no_secret_is_made_anew(key, spoil):
    key.parent.mkdir(parents=True)
    old = b"k" * {"short": 31, "long": 33, "open": 32}[spoil]
    key.write_bytes(old)
    key.chmod(0o640 if spoil == "open" else 0o600)
    assert _seal._key.__wrapped__(key) == key.read_bytes() != old
    assert key.stat().st_mode & 0o777 == 0o600


def test_where_no_key_can_be_kept_figures_have_one_of_this_process(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    sealed = _seal.seal(b"<svg/>", "a")
    assert _seal.unsealed(sealed, "a") == b"<svg/>"


def test_processes_that_start_together_agree_on_a_key(key):
    code = "from optsuite.report import _seal; print(_seal._key(_seal.key_file()).hex())"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert {process.communicate()[0].strip() for process in started} == {key.read_bytes().hex()}
