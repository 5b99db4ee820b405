"""How many workers cores and memory are."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_dask.deploy.sizes import WorkerSize, size_of_worker
from trio_dask.errors import ConfigError

GIB = 2**30
#: Four cores and eight gigabytes.
KNOWN = WorkerSize(cores=4, memory=8 * GIB)
UNKNOWN = WorkerSize(cores_said_by="nthreads= says it", memory_said_by="memory= says it")
#: The same, four hosts with two each.
PAIRS = WorkerSize(cores=4, memory=8 * GIB, together=2, most=8)


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        (KNOWN, {"n": 3}, 3),
        (KNOWN, {"n": 0}, 0),
        (KNOWN, {"cores": 8}, 2),
        (KNOWN, {"cores": 9}, 3),
        (KNOWN, {"cores": 0}, 0),
        (KNOWN, {"memory": "8GiB"}, 1),
        (KNOWN, {"memory": 8 * GIB + 1}, 2),
        (KNOWN, {"jobs": 3}, 3),
        (UNKNOWN, {"n": 3}, 3),
        (PAIRS, {"n": 3}, 4),
        (PAIRS, {"jobs": 3}, 6),
        (PAIRS, {"cores": 9}, 4),
        (PAIRS, {"n": 8}, 8),
    ],
)
def test_how_many_to_have(size: WorkerSize, asked: dict[str, Any], expected: int) -> None:
    """Up to the next worker, and to the next of those that come together."""
    assert size.count(**asked) == expected


@pytest.mark.parametrize(
    ("size", "asked", "says"),
    [
        (KNOWN, {}, "scale takes one of n, jobs, cores and memory"),
        (KNOWN, {"n": 1, "cores": 1}, "scale takes one of n, jobs, cores and memory"),
        (KNOWN, {"n": 1.5}, "1.5 workers: it is a whole number"),
        (KNOWN, {"jobs": -1}, "-1 jobs: it is a whole number"),
        (KNOWN, {"cores": True}, "True cores: it is a whole number"),
        (KNOWN, {"memory": "lots"}, "'lots' is no size"),
        (UNKNOWN, {"cores": 1}, r"scale\(cores=…\): it is not known how many cores a worker has; nthr"),
        (UNKNOWN, {"memory": "1GiB"}, r"how much memory a worker has; memory= says it"),
        (PAIRS, {"n": 9}, "9 workers: there is room for 8"),
        (PAIRS, {"cores": 33}, "9 workers: there is room for 8"),
    ],
)  # fmt: skip
def test_what_there_cannot_be(size: WorkerSize, asked: dict[str, Any], says: str) -> None:
    """Is said."""
    with pytest.raises(ConfigError, match=says):
        size.count(**asked)


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        (KNOWN, {}, (0, math.inf)),
        (KNOWN, {"minimum": None, "maximum": None}, (0, math.inf)),
        (KNOWN, {"minimum": 2, "maximum": 2}, (2, 2)),
        # up to a worker for the least, down to one for the most, as in Dask
        (KNOWN, {"minimum_cores": 5, "maximum_cores": 11}, (2, 2)),
        (KNOWN, {"minimum_memory": "9GiB", "maximum_memory": "39 GiB"}, (2, 4)),
        (KNOWN, {"maximum_cores": math.inf, "maximum_memory": math.inf}, (0, math.inf)),
        # the stricter counts
        (KNOWN, {"minimum": 1, "minimum_cores": 9, "maximum": 5, "maximum_cores": 16}, (3, 4)),
        (KNOWN, {"minimum": 3, "minimum_cores": 1, "maximum": 4, "maximum_cores": 99}, (3, 4)),
        (KNOWN, {"maximum_cores": 40, "maximum_memory": "24GiB"}, (0, 3)),
        # whole processes, and no more than there is room for
        (PAIRS, {}, (0, 8)),
        (PAIRS, {"minimum": 1, "maximum": 5}, (2, 4)),
        (PAIRS, {"minimum_cores": 9, "maximum_cores": 99}, (4, 8)),
        (UNKNOWN, {"minimum": 1, "maximum": 5}, (1, 5)),
    ],
)
def test_between_how_many(
    size: WorkerSize, asked: dict[str, Any], expected: tuple[int, float]
) -> None:
    """By workers, cores and memory."""
    assert size.bounds(**asked) == expected


@pytest.mark.parametrize(
    ("size", "asked", "says"),
    [
        (KNOWN, {"minimum": 3, "maximum": 2}, r"from 3 to 2 \(minimum=3; maximum=2\)"),
        (KNOWN, {"maximum": 0}, r"from 0 to 0 \(maximum=0\)"),
        (KNOWN, {"maximum_cores": 3}, r"from 0 to 0 \(maximum_cores=3, with 4 cores for each work"),
        (KNOWN, {"minimum_cores": 9, "maximum_cores": 10}, "from 3 to 2"),
        (KNOWN, {"maximum_memory": "7GiB"}, r"maximum_memory='7GiB', with 8.00 GiB for each"),
        (KNOWN, {"minimum": 2, "maximum_memory": "8GiB"}, r"from 2 to 1 \(minimum=2; maximum_mem"),
        (KNOWN, {"minimum_cores": -1}, r"minimum_cores=-1\): it is a whole number"),
        (KNOWN, {"maximum_cores": 1.5}, r"maximum_cores=1.5\): it is a whole number"),
        (KNOWN, {"maximum": math.nan}, r"maximum=nan\): it is a whole number"),
        (KNOWN, {"minimum": math.inf}, r"minimum=inf\): it is a whole number"),
        (KNOWN, {"minimum_memory": "lots"}, r"adapt\(minimum_memory=…\): 'lots' is no size"),
        (KNOWN, {"maximum_memory": -1}, r"adapt\(maximum_memory=…\): -1 is no size"),
        (UNKNOWN, {"minimum_cores": 1}, r"minimum_cores=1\): it is not known how many cores a work"),
        (UNKNOWN, {"maximum_memory": "1GiB"}, r"how much memory a worker has; memory= says it"),
        (PAIRS, {"minimum": 9}, r"from 10 to 8 \(minimum=9; there is room for 8; 2 come together\)"),
        (PAIRS, {"maximum": 1}, r"from 0 to 0 \(maximum=1; there is room for 8; 2 come together\)"),
        (PAIRS, {"minimum": 3, "maximum": 3}, "from 4 to 2"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(size: WorkerSize, asked: dict[str, Any], says: str) -> None:
    """It says what was asked for, and why there is no such number."""
    with pytest.raises(ConfigError, match=says):
        size.bounds(**asked)


AMOUNTS = st.none() | st.integers(0, 200)


@given(
    size=st.builds(
        WorkerSize,
        cores=st.integers(1, 9),
        memory=st.integers(1, 9),
        together=st.integers(1, 4),
        most=st.just(math.inf) | st.integers(1, 40),
    ),
    asked=st.fixed_dictionaries(
        {
            f"{bound}{of}": AMOUNTS
            for bound in ("minimum", "maximum")
            for of in ("", "_cores", "_memory")
        }
    ),
)
def test_what_was_asked_for_holds(size: WorkerSize, asked: dict[str, Any]) -> None:
    """Every bound that is given, of whatever, at both ends; and if there is none, no number does."""

    def allowed(count: int) -> bool:
        has = {"": count, "_cores": count * size.cores, "_memory": count * size.memory}
        return all(
            (most := asked[f"maximum{of}"]) is None or number <= most for of, number in has.items()
        )

    def enough(count: int) -> bool:
        has = {"": count, "_cores": count * size.cores, "_memory": count * size.memory}
        return all(number >= (asked[f"minimum{of}"] or 0) for of, number in has.items())

    whole = [count for count in range(0, 900, size.together) if count <= size.most]
    fit = [count for count in whole if enough(count) and allowed(count)]
    try:
        least, most = size.bounds(**asked)
    except ConfigError:
        assert not any(fit)
    else:
        assert fit[0] == least
        assert fit[-1] == (most if most < math.inf else whole[-1])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0, 0)),
        ({"nthreads": 2, "memory_limit": 10**9}, (2, 10**9)),
        ({"nthreads": "3", "memory_limit": "1GiB"}, (3, GIB)),
        # these depend on the machine, and which that is nobody knows
        ({"memory_limit": "auto"}, (0, 0)),
        ({"memory_limit": 0.5}, (0, 0)),
        ({"memory_limit": "0.5"}, (0, 0)),
        ({"memory_limit": 0}, (0, 0)),
    ],
)
def test_what_options_say(options: dict[str, Any], expected: tuple[int, int]) -> None:
    """Of the size of a worker."""
    size = size_of_worker(options)
    assert (size.cores, size.memory) == expected


@pytest.mark.parametrize("options", [{"nthreads": 0}, {"nthreads": "x"}, {"memory_limit": "lots"}])
def test_what_options_do_not_say(options: dict[str, Any]) -> None:
    """Nonsense is said before anything starts."""
    with pytest.raises(ConfigError):
        size_of_worker(options)
