from logicls.serve.uploads import CLIENTS, Rate


def test_an_address_may_send_so_many_at_once_and_so_many_a_second():
    """Ten a second: twenty at once, then one for each tenth of a second."""
    rate = Rate(10)

    at_once = [rate.take("a", 0.0) for _ in range(22)]
    later = [rate.take("a", now) for now in (0.05, 0.11, 0.12, 0.31, 0.31, 0.32)]

    assert at_once == [0] * 20 + [1, 1]
    assert later == [1, 0, 1, 0, 0, 1]


def test_addresses_do_not_share():
    """One that sends too much takes nothing from another."""
    rate = Rate(0.5)

    assert [rate.take(name, 0.0) for name in ("a", "a", "b")] == [0, 2, 0]
    assert rate.take("a", 2.0) == 0


def test_the_wait_is_long_enough():
    """Whoever waits for as long as was said is let in."""
    rate = Rate(0.3)
    rate.take("a", 0.0)

    wait = rate.take("a", 1.0)

    assert wait == 3
    assert rate.take("a", 1.0 + wait) == 0


def test_addresses_are_forgotten():
    """The one that was heard of longest ago is; memory does not grow with the number of addresses."""
    rate = Rate(0.5)
    for number in range(CLIENTS + 1):
        rate.take(str(number), 0.0)

    assert rate.take("1", 0.0) == 2
    assert rate.take("0", 0.0) == 0
    assert len(rate._left) == CLIENTS
