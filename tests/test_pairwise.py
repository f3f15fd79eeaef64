import itertools

from tests.pairwise import alternating, pairwise


def test_few_of_a_product_show_every_pair_of_values_and_the_others_are_slow() -> None:
    axes = [(1, 2, 3), "ab", (True, False), "xyz"]
    parameters = pairwise(*axes)
    assert [parameter.values for parameter in parameters] == list(itertools.product(*axes))
    chosen = [parameter.values for parameter in parameters if not parameter.marks]
    assert 9 <= len(chosen) < 18 < len(parameters)
    for first, second in itertools.combinations(range(4), 2):
        shown = {(values[first], values[second]) for values in chosen}
        assert shown == set(itertools.product(axes[first], axes[second]))


def test_half_of_a_product_shows_every_value() -> None:
    parameters = alternating("ab", (1, 2, 3))
    assert [parameter.values for parameter in parameters] == list(itertools.product("ab", (1, 2, 3)))
    assert [parameter.values for parameter in parameters if not parameter.marks] == [("a", 1), ("a", 3), ("b", 2)]
