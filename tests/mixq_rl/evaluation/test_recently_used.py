from mixq_rl.evaluation.recently_used import RecentlyUsed


def test_values_used_least_recently_are_dropped() -> None:
    cache: RecentlyUsed[str] = RecentlyUsed(10)
    for key in "abc":
        cache.hold(key, key.upper(), 3)
    assert cache.get("a") == "A"
    cache.hold("d", "D", 4)
    assert [cache.get(key) for key in "abcd"] == ["A", None, "C", "D"]
    assert cache.values() == ["A", "C", "D"]
    assert (len(cache), cache.nbytes) == (3, 10)


def test_a_value_beyond_the_limit_drops_nothing() -> None:
    cache: RecentlyUsed[str] = RecentlyUsed(10)
    cache.hold("a", "A", 10)
    cache.hold("b", "B", 11)
    assert (cache.get("a"), cache.get("b"), cache.nbytes) == ("A", None, 10)


def test_nothing_is_held_without_room() -> None:
    cache: RecentlyUsed[str] = RecentlyUsed(0)
    cache.hold("a", "A", 1)
    assert (cache.get("a"), len(cache), cache.nbytes) == (None, 0, 0)
