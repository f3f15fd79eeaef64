import json
import time

from mixq_rl.agents.monitoring import TimeShare


def test_what_is_dear_keeps_to_its_share() -> None:
    share, done, started = TimeShare(0.2), 0, time.perf_counter()
    while time.perf_counter() - started < 0.5:
        if share.allows:
            with share.spending():
                time.sleep(0.01)
            done += 1
        time.sleep(0.001)
    # The first is always allowed, the others once there is time for them. A sleep may last longer than asked.
    assert 2 <= done <= 1 + 0.2 * (time.perf_counter() - started) / 0.01


def test_another_process_goes_on_with_what_is_left() -> None:
    share = TimeShare(0.5)
    with share.spending():
        time.sleep(0.02)
    assert not share.allows
    other = TimeShare(0.5)
    assert other.allows
    other.load_state_dict(json.loads(json.dumps(share.state_dict())))
    assert not other.allows
    time.sleep(0.08)
    assert other.allows
