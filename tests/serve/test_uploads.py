from logicls.serve.uploads import MAX_CLIENTS, RateLimiter


def test_the_limiter_allows_a_burst_and_then_the_rate():
    """At ten per second: a burst of twenty, then one per tenth of a second."""
    rate = RateLimiter(10)

    at_once = [rate.acquire("a", 0.0) for _ in range(22)]
    later = [rate.acquire("a", now) for now in (0.05, 0.11, 0.12, 0.31, 0.31, 0.32)]

    assert at_once == [0] * 20 + [1, 1]
    assert later == [1, 0, 1, 0, 0, 1]


def test_addresses_have_separate_buckets():
    """An address above its limit does not affect others."""
    rate = RateLimiter(0.5)

    assert [rate.acquire(name, 0.0) for name in ("a", "a", "b")] == [0, 2, 0]
    assert rate.acquire("a", 2.0) == 0


def test_a_request_after_the_wait_is_accepted():
    """The returned waiting time is sufficient."""
    rate = RateLimiter(0.3)
    rate.acquire("a", 0.0)

    wait = rate.acquire("a", 1.0)

    assert wait == 3
    assert rate.acquire("a", 1.0 + wait) == 0


def test_the_least_recent_address_is_dropped():
    """Memory does not grow with the number of addresses."""
    rate = RateLimiter(0.5)
    for number in range(MAX_CLIENTS + 1):
        rate.acquire(str(number), 0.0)

    assert rate.acquire("1", 0.0) == 2
    assert rate.acquire("0", 0.0) == 0
    assert len(rate._buckets) == MAX_CLIENTS
