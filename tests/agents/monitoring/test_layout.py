import re

from mixq_rl.agents.monitoring.layout import layout


def test_components_of_a_layer_share_a_chart() -> None:
    charts = layout(["conv1.weight", "conv1.message", "conv10.weight", "lin1.output"])["bits by layer"]
    assert list(charts) == ["conv1", "conv10", "lin1"]
    (pattern,) = charts["conv1"]
    assert re.match(pattern, "bits/conv1.weight")
    assert not re.match(pattern, "bits/conv10.weight")
    assert not re.match(pattern, "bits_chosen/conv1.weight")


def test_components_of_no_layer_have_a_chart_of_their_own() -> None:
    (pattern,) = layout(["input", "conv1.weight"])["bits by layer"]["network"]
    assert re.match(pattern, "bits/input")
    assert not re.match(pattern, "bits/conv1.weight")
