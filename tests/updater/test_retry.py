"""Retries: how often, and how long is waited."""

from __future__ import annotations

from updater.retry import RetryPolicy, Tries, seconds_of

POLICY = RetryPolicy(attempts=4, backoff=0.5, backoff_limit=3)


def test_each_wait_is_twice_the_one_before_up_to_the_limit() -> None:
    waits: list[float] = []
    tries = Tries(POLICY, waits.append)
    while not tries.is_last:
        tries.begin()
    assert (tries.number, waits) == (4, [0.5, 1.0, 2.0])
    assert POLICY.wait(9) == 3


def test_a_try_that_brought_something_counts_as_the_first() -> None:
    waits: list[float] = []
    tries = Tries(POLICY, waits.append)
    for _ in range(9):
        tries.begin(afresh=True)
    assert (tries.number, waits) == (1, [])


def test_a_server_may_ask_for_more_time_and_not_for_all_of_it() -> None:
    assert POLICY.wait(1, "2") == 2
    assert POLICY.wait(1, "86400") == 3
    assert [seconds_of(text) for text in ("7", "", "soon", "-1", "½")] == [7, 0, 0, 0, 0]
