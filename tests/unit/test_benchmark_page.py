"""The page of the benchmark is made of what a run wrote, and of nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import page
from benchmarks.charts import Bar, chart
from benchmarks.results import records, summary
from benchmarks.runs import Record, Sizes


def told(*, quick: bool = False) -> dict[str, Any]:
    ours = {"drain rate": 300.0, "due p99": 0.05, "import": 0.02, "bare import": 0.2}
    theirs = {"drain rate": 200.0, "due p99": 0.5}
    lossy = Record([theirs, {}], lost={"drain": ["tasks that were lost: 3"]}, failed={"send": ["it died"]})
    about = {
        "machine": "a machine", "store": "Redis 7", "sizes": asdict(Sizes()), "count": 2, "quick": quick,
        "versions": {"aioqueue": "Python 3.11", "them": "1.0"},
    }  # fmt: skip
    return summary({"aioqueue": Record([ours, ours]), "them": lossy}, about)


def test_a_bar_is_as_long_as_its_value_is_to_the_greatest() -> None:
    drawn = chart("rate <1>", [Bar("us", 10.0, "10", ours=True), Bar("them", 5.0, "5"), Bar("it", 0.0, "0")])

    figure = ElementTree.fromstring(drawn)
    widths = [float(bar.attrib["width"]) for bar in figure.iter("rect")]
    assert widths == [420.0, 210.0, 1.0]
    assert [text.text for text in figure.iter("text")] == ["us", "10", "them", "5", "it", "0"]
    assert "\n\n" not in drawn


def test_records_are_read_back_as_they_were_written() -> None:
    written = json.loads(json.dumps(told()))

    assert summary(records(written), {}) == {key: written[key] for key in ("ratios", "systems")}


def test_the_page_has_charts_tables_ratios_and_what_does_not_count() -> None:
    text = page.page(told())

    charts = [part.partition("</figcaption>")[0] for part in text.split("<figcaption>")[1:]]
    assert charts == [
        "20,000 no-ops with results drained, tasks/s; more is better",
        "Due at once, p99 ms late; less is better",
    ]
    assert "| drain, tasks/s | more | 300 | 200 (0.67) |" in text
    assert "| them | \N{EN DASH} | \N{EN DASH} | 500.0 (10.00) |" in text
    assert "| them | drain | 1 of 2 rounds: tasks that were lost: 3 |" in text
    assert "| them | send | no figures in 1 of 2 rounds: it died |" in text
    assert "| `drain_vs_them` | 1.5 |" in text
    assert "| `import_vs_bare` | 0.1 |" in text
    assert "warning" not in text


def test_the_page_of_a_quick_run_says_so() -> None:
    assert "!!! warning" in page.page(told(quick=True))


def test_the_page_is_made_of_the_file_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    source = tmp_path / "told.json"
    source.write_text(json.dumps(told()))

    page.write(source)

    assert (tmp_path / "page.md").read_text() == page.page(told())
