import re

import pytest

from mixq_rl.agents.report.series import SERIES


@pytest.mark.parametrize("kind", list(SERIES))
def test_colours_are_written_for_a_style_sheet(kind: str) -> None:
    for colour in (SERIES[kind].colour.light, SERIES[kind].colour.dark):
        assert re.fullmatch("#[0-9a-f]{6}", colour)


def test_no_two_series_look_alike() -> None:
    assert len({series.name for series in SERIES.values()}) == len(SERIES)
    assert len({(str(series.marker), series.hollow) for series in SERIES.values()}) == len(SERIES)
