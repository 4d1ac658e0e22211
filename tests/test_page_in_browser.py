"""The page in a browser: charts, tables, keys, themes, without network or errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from optsuite import report
from tests.report.verdicts import make_entry, make_verdict

CHROMIUM = Path("/usr/bin/chromium")

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}")

HOSTILE = "<img src=x onerror=document.title='stolen'></script>"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A page with a verdict on two tasks, in which one name is hostile."""
    folder = tmp_path_factory.mktemp("page")
    verdict = make_verdict(("T", "U"), ("Mine", "Adam", HOSTILE), packaged=("Adam",))
    written = report.write_report(str(folder / "report.html"), [], verdict=verdict)
    return f"file://{written.url}"


@pytest.fixture
def open_page(browser, url):
    """Opens the page; at the end it must have asked for nothing and have no errors."""
    opened = []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        page, problems = context.new_page(), []
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda asked: problems.append(asked.url) if asked.url != url else None)
        page.goto(url)
        opened.append((context, problems))
        return page

    yield open_page
    for context, problems in opened:
        context.close()
        assert problems == []


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def task(page):
    """The part of the first task, with its charts drawn."""
    article = page.locator("#tasks article").first
    article.scroll_into_view_if_needed()
    article.locator(".chart canvas").nth(2).wait_for()
    return article


def names(table):
    """Names in the rows that a table shows, from above."""
    return table.locator("tbody tr:not(.group):visible td:nth-child(2)").all_inner_texts()


def ink(chart, is_ink):
    """How many pixels of a chart's canvas are of some colour, a condition in JavaScript on r, g, b."""
    return chart.locator("canvas").evaluate(
        """(canvas, isInk) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let i = 0; i < data.length; i += 4) {
            const [r, g, b, a] = data.slice(i, i + 4);
            if (a > 200 && new Function("r", "g", "b", `return ${isInk}`)(r, g, b)) count += 1;
          }
          return count;
        }""",
        is_ink,
    )


ORANGE = "r > 190 && g < 90 && b < 20"  # the second colour of the palette: Adam's


def test_the_verdict_comes_first_and_in_words(page):
    headings = page.locator("h2").all_inner_texts()
    assert headings[:2] == ["Verdict", "Leaderboard"]
    assert page.locator("#verdict p").first.inner_text().startswith("Mine against")
    assert "2 of 6 cells packaged" in page.locator("#verdict .basis").inner_text()


def test_names_with_markup_are_text(page, task):
    assert page.title() != "stolen"
    assert page.locator("img").count() == 0
    assert task.locator(".legend button", has_text=HOSTILE).count() == 1
    assert task.locator(".numbers th", has_text=HOSTILE).count() > 0


def test_a_table_is_sorted_by_its_heads(page):
    table = page.get_by_role("region", name="Leaderboard of all tasks").locator("table")
    assert names(table) == ["Mine", "Adam", HOSTILE]
    head = table.get_by_role("button", name="score")
    head.click()
    assert names(table) == [HOSTILE, "Adam", "Mine"]
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    head.click()
    assert names(table) == ["Mine", "Adam", HOSTILE]
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_words_instead_of_a_number_are_sorted_last(page):
    table = page.get_by_role("region", name="Leaderboard of all tasks").locator("table")
    for _ in range(2):
        table.get_by_role("button", name="steps").click()
        assert names(table)[-1] == "Adam"  # the reference has no ratio to itself


def test_a_table_is_filtered_and_says_how_many_are_left(page):
    table = page.get_by_role("region", name="Leaderboard by task").locator("table")
    page.get_by_label("Filter rows of Leaderboard by task").fill("U mine")
    assert names(table) == ["Mine"]
    assert table.locator("tr.group:visible").all_inner_texts() == ["U"]
    assert page.locator("#leaderboard .count").nth(1).inner_text() == "1 of 6 rows"
    page.get_by_label("Filter rows of Leaderboard by task").fill("")
    assert len(names(table)) == 6


def test_a_table_is_grouped_by_task_or_sorted_as_a_whole(page):
    region = page.get_by_role("region", name="Leaderboard by task")
    table, button = region.locator("table"), page.locator("#leaderboard .group-rows")
    assert button.get_attribute("aria-pressed") == "true"
    table.get_by_role("button", name="final loss").click()
    assert names(table) == ["Mine", "Adam", HOSTILE] * 2
    assert table.locator("thead th").first.is_hidden()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert names(table) == ["Mine", "Mine", "Adam", "Adam", HOSTILE, HOSTILE]
    assert table.locator("thead th").first.is_visible()
    assert table.locator("tr.group:visible").count() == 0


def test_an_optimizer_is_hidden_in_all_charts_of_its_task(page, task):
    charts = [task.locator(".chart").nth(i) for i in range(3)]
    assert all(ink(chart, ORANGE) for chart in charts)
    button = task.locator(".legend button", has_text="Adam")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    page.wait_for_timeout(50)
    assert not any(ink(chart, ORANGE) for chart in charts)
    button.click()
    page.wait_for_timeout(50)
    assert all(ink(chart, ORANGE) for chart in charts)


def test_none_and_all(page, task):
    pressed = task.locator('.legend [aria-pressed="true"]')
    assert pressed.count() == 3
    task.get_by_role("button", name="None").click()
    assert pressed.count() == 0
    task.get_by_role("button", name="All").click()
    assert pressed.count() == 3


def test_at_first_ten_are_shown_and_those_in_question(browser, tmp_path):
    entries = [
        make_entry("T", name, loss=0.5 + i / 100, is_reference=name == "Adam")
        for i, name in enumerate([*(f"O{i:02}" for i in range(12)), "Adam", "Last", "Mine"])
    ]
    verdict = make_verdict(("T",), ("Mine", "Adam"))
    object.__setattr__(verdict, "entries", entries)
    written = report.write_report(str(tmp_path / "report.html"), [], verdict=verdict)
    page = browser.new_page()
    page.goto(f"file://{written.url}")
    legend = page.locator("#tasks .legend")
    hidden = legend.locator('[aria-pressed="false"] .name').all_inner_texts()
    assert hidden == ["O10", "O11", "Last"]
    legend.get_by_role("button", name="All").click()
    assert legend.locator('[aria-pressed="false"]').count() == 0
    page.close()


def test_values_under_the_mouse_are_told(page, task):
    chart = task.locator(".chart").first
    over = chart.locator(".u-over")
    box = over.bounding_box()
    over.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    reading = task.locator(".reading").first
    assert reading.inner_text().startswith("training step 100: Mine 1.259 [1.254, 1.264]; Adam 1.309")
    values = task.locator(".legend .value")
    assert values.first.inner_text() == "1.259"
    page.mouse.move(0, 0)
    assert reading.inner_text() == ""
    assert values.first.inner_text() == "0.5100"


def test_values_are_read_by_keys(page, task):
    chart = task.locator(".chart").first
    chart.focus()
    page.keyboard.press("Home")
    assert task.locator(".reading").first.inner_text().startswith("training step 0: ")
    page.keyboard.press("ArrowRight")
    assert task.locator(".reading").first.inner_text().startswith("training step 10: ")
    page.keyboard.press("End")
    assert "training step 200: Mine 0.5137 [0.5038, 0.5237]" in task.locator(".reading").first.inner_text()
    page.keyboard.press("Escape")
    assert task.locator(".reading").first.inner_text() == ""


def test_axes_are_steps_time_and_flops(page, task):
    select, chart = task.get_by_label("Horizontal axis"), task.locator(".chart").first
    assert select.locator("option").all_inner_texts() == ["steps", "time", "FLOPs"]
    select.select_option("time")
    assert task.locator(".aside").first.inner_text() == "Not shown, no comparable time: Adam."
    chart.focus()
    page.keyboard.press("End")
    assert task.locator(".reading").first.inner_text().startswith("time, s 0.2: Mine 0.5137")
    select.select_option("flops")
    chart.focus()
    page.keyboard.press("End")
    assert (
        task.locator(".reading").first.inner_text().startswith("floating-point operations 2e8: Mine 0.5137")
    )
    assert task.locator(".aside").first.is_hidden()


def test_a_logarithmic_axis_is_switched(page, task):
    button, chart = task.locator("button.log").first, task.locator(".chart").first
    before = chart.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert chart.locator("canvas").evaluate("canvas => canvas.toDataURL()") != before
    button.click()
    page.wait_for_timeout(50)
    assert chart.locator("canvas").evaluate("canvas => canvas.toDataURL()") == before


def test_all_that_can_be_pressed_is_reached_by_keys(page):
    for _ in range(200):
        page.keyboard.press("Tab")
        page.evaluate("(() => { const e = document.activeElement; window.reached ??= [];"
                            "if (!reached.includes(e)) reached.push(e); })()")  # fmt: skip
    assert page.evaluate(
        """[...document.querySelectorAll("button, input, select, summary, a[href], [tabindex='0']")]
        .filter((e) => e.checkVisibility() && !reached.includes(e)).map((e) => e.outerHTML)"""
    ) == []  # fmt: skip


def test_sorting_works_by_key(page):
    table = page.get_by_role("region", name="Leaderboard of all tasks").locator("table")
    table.get_by_role("button", name="score").focus()
    page.keyboard.press("Enter")
    assert names(table)[0] == HOSTILE


def test_a_phone_shows_the_page_without_scrolling_sideways(open_page):
    page = open_page(viewport={"width": 360, "height": 800})
    page.locator("#tasks article").last.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    chart = page.locator("#tasks .uplot").first.bounding_box()
    assert chart["x"] >= 0
    assert chart["x"] + chart["width"] <= 360


def test_a_dark_page_has_light_axes(open_page):
    def axes(scheme):
        page = open_page(color_scheme=scheme)
        chart = page.locator("#tasks .chart").first
        chart.scroll_into_view_if_needed()
        chart.locator("canvas").wait_for()
        return ink(chart, "r > 145 && r < 160 && b - r > 15 && b - r < 30")

    assert axes("dark") > axes("light")


def test_the_theme_is_switched_and_charts_follow(page, task):
    chart = task.locator(".chart").first
    before = chart.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    for theme in ("light", "dark"):
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == f"Theme: {theme}"
    page.wait_for_timeout(50)
    assert chart.locator("canvas").evaluate("canvas => canvas.toDataURL()") != before


def test_a_print_has_all_charts_and_no_tools(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(100)
    assert page.locator(".chart canvas").count() == page.locator(".chart").count() == 7
    assert page.locator(".filter").first.is_hidden()
    widths = page.locator(".chart .uplot").evaluate_all("plots => plots.map((plot) => plot.clientWidth)")
    assert set(widths) == {470}
    page.evaluate("dispatchEvent(new Event('afterprint'))")


def test_without_scripts_the_numbers_are_there(open_page):
    page = open_page(java_script_enabled=False)
    article = page.locator("#tasks article").first
    article.locator("summary").first.click()
    assert article.locator(".numbers td").first.is_visible()
    assert article.locator(".legend").is_hidden()
    assert page.locator(".tools input").first.is_hidden()


def test_advice_at_the_edge_of_a_grid_is_on_the_page(browser, tmp_path):
    verdict = make_verdict(("T",))
    words = "lr 0.01 is the largest of its grid: try 0.03"
    entries = [make_entry("T", "Mine", edge=words), *verdict.entries[1:]]
    object.__setattr__(verdict, "entries", entries)
    written = report.write_report(str(tmp_path / "report.html"), [], verdict=verdict)
    page = browser.new_page()
    page.goto(f"file://{written.url}")
    assert page.locator("#tasks .notes").inner_text() == f"Mine: {words}"
    assert "at the edge" in page.locator("#leaderboard td.setting", has_text="Mine").first.inner_text()
    page.close()
