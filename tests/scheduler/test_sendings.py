"""When batches were sent, as far back as that is remembered."""

from __future__ import annotations

from trio_dask.scheduler.core.sendings import KEPT, Sendings


def test_each_attempt_belongs_to_the_last_batch_that_began_before_it() -> None:
    """Also when the oldest have been replaced, as often as one likes."""
    sendings = Sendings()
    assert sendings.when(1) is None
    for number in range(5 * KEPT // 2):
        sendings.add(10 * number, float(number))
    last = 5 * KEPT // 2 - 1
    oldest = last - KEPT + 1
    for number in (oldest, oldest + 1, last - 1, last):
        assert sendings.when(10 * number) == sendings.when(10 * number + 9) == float(number)
    assert sendings.when(10 * last + 1000) == float(last)
    assert sendings.when(10 * oldest - 1) is None
