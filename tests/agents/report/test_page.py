import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixq_rl.agents import RunConfig
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report import report_page, searched
from mixq_rl.agents.report.series import SERIES
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.objective import BITOPS, LATENCY, Objective
from mixq_rl.printable import printable
from tests.agents.report.runs import Element, evaluations, parsed, run_folder, run_result

CONFIG = RunConfig(dataset="somewhere", seed=7)


def page_of(result: RunResult, config: RunConfig = CONFIG) -> str:
    folder = run_folder(result, config)
    return report_page(result, evaluations(result), folder)


@pytest.fixture
def result(tmp_path: Path) -> RunResult:
    return run_result(run_dir=tmp_path / "run")


def plain(element: Element) -> str:
    return " ".join(element.text.split())


def test_says_in_one_sentence_what_was_found(result: RunResult) -> None:
    page = parsed(page_of(result))
    held = sum(share.bytes for share in result.shares)
    assert plain(page.one("h1")) == "gcn on somewhere"
    assert plain(page.one("p", "lead")) == (
        "The best network, agent 2, classifies 78.5 % of the test nodes correctly (95 % interval 75.8 % to 80.9 %; "
        "float32: 79.0 %) with 12.8× fewer bit operations. Its components take "
        f"{held / 1000:.1f} kB, in float32 424 kB."
    )
    headings = [plain(heading) for heading in page.all("h2")]
    assert headings == [
        "Accuracy against saving",
        "Networks",
        "agent 2, layer by layer",
        "The run",
        "Next steps",
        "Terms",
    ]


def test_says_which_change_was_to_be_expected(result: RunResult, tmp_path: Path) -> None:
    text = plain(parsed(page_of(result)))
    assert "changes by -1.2 points against float32 (95 % interval -3.4 to +1.1; measured on test: -0.5)" in text
    assert "Expected from validation labels" in text
    assert "Expected from validation labels" not in plain(
        parsed(page_of(replace(result, change=None, run_dir=tmp_path / "other")))
    )


def test_table_of_networks_has_the_figures_of_the_run(result: RunResult) -> None:
    table = parsed(page_of(result)).one("table", "networks")
    bodies = table.all("tbody")
    assert len(bodies) == len(result.finalists)
    for body, finalist in zip(bodies, result.finalists, strict=True):
        evaluation, text = finalist.evaluation, plain(body)
        assert text.startswith(finalist.label)
        for part in (
            f"{100 * evaluation.accuracy:.1f}",
            f"{100 * finalist.test_accuracy:.1f}",
            f"{evaluation.reduction:.1f}×",
            f"{evaluation.bitops / 1e6:.3f}",
            f"{evaluation.product_reduction:.1f}×",
            f"{evaluation.product_bitops / 1e6:.3f}",
        ):
            assert part in text
        assert ("best" in body.classes) == (finalist is result.best) == ("★ best" in text)
    assert "76.4–81.4" in plain(bodies[0])
    assert plain(bodies[-1]).endswith("bits 4 2 2 2 4 2 2 2")
    assert "time" not in plain(table.one("thead"))


@pytest.mark.parametrize("objective", [BITOPS, LATENCY])
def test_estimates_have_a_column_and_an_explanation(objective: Objective, tmp_path: Path) -> None:
    measured = run_result(objective=objective, run_dir=tmp_path / "measured")
    finalists = tuple(
        replace(each, evaluation=replace(each.evaluation, estimate=0.7543))
        if each is not measured.finalists[0]
        else each
        for each in measured.finalists
    )
    estimated = replace(measured, finalists=finalists, best=finalists[-1], run_dir=tmp_path / "estimated")
    for result, word in (
        (measured, "by their accuracy on the 500"),
        (estimated, "by estimates of their accuracy (est)"),
    ):
        page = parsed(page_of(result, replace(CONFIG, objective=objective.name)))
        table = page.one("table", "networks")
        headings, rows = table.one("thead").all("th"), table.all("tbody")
        assert word in plain(page)
        assert sum(plain(heading).startswith("est") for heading in headings) == (result is estimated)
        assert ("75.4" in plain(rows[-1]), "80.0 80.0" in plain(rows[0])) == ((result is estimated,) * 2)
        (bits,) = [cell for cell in rows[-1].all("td") if "colspan" in cell.attributes]
        assert int(bits.attributes["colspan"]) == len(headings)


def test_components_add_up_to_the_network(result: RunResult) -> None:
    table = parsed(page_of(result)).one("table", "components")
    *layers, whole = table.all("tbody")
    rows = [row for body in layers for row in body.all("tr")[1:]]
    assert [plain(row.one("th")).split()[0] for row in rows] == [
        f"{share.name}{share.kind}," for share in result.shares
    ]
    assert [plain(row.all("td")[0]) for row in rows] == [str(share.bits) for share in result.shares]
    parts = [float(plain(row.all("td")[2]).split()[0]) for row in rows]
    assert sum(parts) == pytest.approx(100, abs=0.05 * len(parts))
    assert [plain(body.all("th")[0]) for body in layers] == ["layer 1", "layer 2"]
    bitops = result.best.evaluation.bitops
    assert f"100.0 %{bitops / 1e3:.3f}·10³12.8×" in plain(whole)
    assert plain(whole).endswith(f"{1e3 * sum(share.seconds for share in result.shares):.3f}")
    assert [plain(row.all("td")[3]) for row in rows][:4] == ["–", "2.000", "–", "4.000"]


def test_what_was_run_and_how_to_repeat_it(result: RunResult) -> None:
    text = plain(parsed(page_of(result)).one("main"))
    run = result.run_dir
    for part in (
        "seed7",
        "bits1, 2, 4, 8",
        "allocations evaluated12",
        "nodes100 train, 500 validation, 1000 test",
        "hypervolume1.2500",
        "stable-baselines3",
        "kernels",
        f"mixq-rl train --config {run}/config.json --run-dir NEW",
        f"tensorboard --logdir {run}",
        f"mixq-rl export {run} --output DIR",
        f"mixq_rl.IntegerModel.load('{run}/model')",
        "highest reward at preference 0.5, on validation data",
        "Wilson (1927), over the 1000 test nodes. They",
    ):
        assert part in text
    assert "max drop" not in text


def test_a_folder_with_spaces_is_quoted(tmp_path: Path) -> None:
    result = run_result(run_dir=tmp_path / "my run")
    commands = [plain(code) for code in parsed(page_of(result)).all("code")]
    assert f"tensorboard --logdir '{tmp_path}/my run'" in commands


@pytest.mark.parametrize(("policy", "named"), [("", ""), ("mine", "--policy {run}/start ")])
def test_a_run_that_began_with_a_policy_is_repeated_with_that_policy(
    result: RunResult, policy: str, named: str
) -> None:
    page = parsed(page_of(result, replace(CONFIG, policy=policy)))
    (command,) = [plain(code) for code in page.all("code") if "--config" in code.text]
    run = result.run_dir
    assert command == f"mixq-rl train --config {run}/config.json {named.format(run=run)}--run-dir NEW"
    assert f"policy{policy or 'the policy of the package'}" in plain(page)


def test_with_latency_the_page_has_times_and_speed_ups(tmp_path: Path) -> None:
    result = run_result(objective=LATENCY, run_dir=tmp_path / "run")
    page = parsed(page_of(result, replace(CONFIG, objective="latency")))
    assert "bit operations. Time: 5.000 ms, float32 10.000 ms (2.00× float32's speed). Its" in plain(
        page.one("p", "lead")
    )
    table = page.one("table", "networks")
    assert "time" in plain(table.one("thead"))
    assert "2.00×5.000" in plain(table.all("tbody")[-1])
    assert "speed-up against float32" in plain(page.one("figure"))
    assert "Times are measured again and will differ" in plain(page)


NASTY = "<script>alert('1')</script>\"&"


def test_what_users_wrote_is_text(tmp_path: Path) -> None:
    harmless = parsed(page_of(run_result(run_dir=tmp_path / "one"))).all("*")
    result = run_result(title=f"gcn on {NASTY}", run_dir=tmp_path / NASTY.replace("/", "|"))
    components = (f"conv1.{NASTY}", *result.components[1:])
    shares = (replace(result.shares[0], name=components[0]), *result.shares[1:])
    nasty = replace(result, choice=NASTY, components=components, shares=shares)
    page = parsed(page_of(nasty, replace(CONFIG, dataset=NASTY, data_root=NASTY)))
    assert [element.name for element in page.all("*")] == [element.name for element in harmless]
    assert plain(page.one("h1")) == f"gcn on {NASTY}"
    assert f"dataset{NASTY}" in plain(page)
    assert json.loads(page.one("div", "chart").attributes["data-components"]) == [*components]


names = st.text(st.characters(codec=None))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=names, kind=names)
def test_no_name_adds_an_element(name: str, kind: str, result: RunResult) -> None:
    folder = RunFolder.read(result.run_dir) if result.run_dir.exists() else run_folder(result, CONFIG)
    components = (f"conv1.{name}", *result.components[1:])
    shares = (replace(result.shares[0], name=name, kind=kind), *result.shares[1:])
    strange = replace(result, title=name, choice=name, components=components, shares=shares)
    harmless, page = (parsed(report_page(each, evaluations(each), folder)) for each in (result, strange))
    assert [element.name for element in page.all("*") if element.name != "wbr"] == [
        element.name for element in harmless.all("*") if element.name != "wbr"
    ]
    assert page.one("h1").text == printable(name, keep="\n")
    shown = json.loads(page.one("div", "chart").attributes["data-components"])
    assert shown == [printable(component) for component in components]


def test_nothing_is_loaded_and_only_its_own_script_may_run(result: RunResult) -> None:
    text = page_of(result)
    page = parsed(text)
    assert "://" not in text
    assert not re.search(r"@import|url\(", text)
    for element in page.all("*"):
        for name in ("src", "srcset", "action", "data", "poster", "xlink:href"):
            assert name not in element.attributes
        assert element.attributes.get("href", "#").startswith(("#", "data:,"))
        assert not [name for name in element.attributes if name.startswith("on")]
    (policy,) = [m.attributes["content"] for m in page.all("meta") if "http-equiv" in m.attributes]
    digest = base64.b64encode(hashlib.sha256(page.one("script").text.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; ")


def test_ids_are_there_once_and_what_is_used_is_there(result: RunResult) -> None:
    page = parsed(page_of(result))
    ids = [element.attributes["id"] for element in page.all("*") if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {use.attributes["href"].removeprefix("#") for use in page.all("use")} <= set(ids)


def test_each_series_has_its_colour_on_the_page(result: RunResult) -> None:
    style = parsed(page_of(result)).one("style").text
    for kind, series in SERIES.items():
        assert re.findall(rf"--{kind}: (#\w+);", style) == [series.colour.light, series.colour.dark]
        assert f"var(--{kind})" in style


def test_many_components_have_a_row_each(tmp_path: Path) -> None:
    result = run_result(layers=15, run_dir=tmp_path / "run")
    page = parsed(page_of(result))
    table = page.one("table", "components")
    assert len(table.all("tbody")) == 15 + 1
    assert len(table.all("svg", "pips")) == 60
    assert len(page.one("table", "networks").all("tbody")[-1].all("span", "layer")) == 15


def test_the_same_run_gives_the_same_page(result: RunResult) -> None:
    folder = run_folder(result, CONFIG)
    first = report_page(result, evaluations(result), folder)
    again = RunResult.load(folder.result)
    assert again.change == result.change
    assert report_page(again, reversed(searched(folder, again)), folder) == first


def test_a_store_without_the_search_is_refused(result: RunResult) -> None:
    folder = run_folder(result, CONFIG)
    other = replace(result, components=("another", *result.components[1:]))
    with pytest.raises(ArtifactError, match="holds no evaluation of this run"):
        searched(folder, other)
    folder.evaluations.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        searched(folder, result)
    assert not folder.evaluations.exists()
