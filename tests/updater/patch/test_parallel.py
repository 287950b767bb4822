"""Several threads: results in order, never piled up, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from updater.patch.parallel import in_order

JOBS = [1, 2, 4]


def running() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("upswap")}


@pytest.mark.parametrize("jobs", JOBS)
def test_results_come_in_order(jobs: int) -> None:
    gates = [threading.Event() for _ in range(20)]

    def work(number: int) -> int:
        if jobs > 1 and not number % 2:
            gates[number + 1].wait(10)  # the next one ends first
        gates[number].set()
        return number * number

    with in_order(work, range(20), jobs) as results:
        assert list(results) == [number * number for number in range(20)]
    assert not running()


@pytest.mark.parametrize("jobs", JOBS)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_there_may_be_fewer_items_than_threads(jobs: int, count: int) -> None:
    with in_order(str, range(count), jobs) as results:
        assert list(results) == [str(number) for number in range(count)]


@pytest.mark.parametrize("jobs", JOBS)
def test_no_more_is_begun_than_jobs_allow(jobs: int) -> None:
    begun: list[int] = []
    with in_order(begun.append, range(50), jobs) as results:
        for taken, _ in enumerate(results):
            assert len(begun) <= taken + jobs


def test_one_job_needs_no_thread() -> None:
    with in_order(lambda _: threading.current_thread(), range(3), 1) as results:
        assert set(results) == {threading.current_thread()}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("jobs", JOBS)
def test_an_error_of_the_work_stops_it(jobs: int, error: type[BaseException]) -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise error
        return number

    with pytest.raises(error), in_order(work, range(1000), jobs) as results:
        assert list(results) == []
    assert max(begun) <= 5 + jobs
    assert not running()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("jobs", JOBS)
def test_an_error_of_the_caller_stops_it(jobs: int, error: type[BaseException]) -> None:
    begun: list[int] = []

    def caller() -> None:
        with in_order(begun.append, range(1000), jobs) as results:
            next(results)
            raise error

    with pytest.raises(error):
        caller()
    assert len(begun) <= 1 + jobs
    assert not running()


def test_an_error_of_the_items_stops_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError

    with pytest.raises(OSError), in_order(str, items(), 2) as results:  # noqa: PT011
        assert list(results)
    assert not running()


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_jobs_at_all_is_misuse(jobs: int) -> None:
    with pytest.raises(ValueError, match="at least 1"), in_order(str, [1], jobs):
        raise AssertionError
