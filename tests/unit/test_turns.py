"""Turns: shares, the guard of the lower priorities, and what is no weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from aioqueue.protocols.broker import Order
from aioqueue.turns import GUARD, Group, copied, fill, groups_of
from aioqueue.weights import listed, weighed


def endless(group: Group, count: int) -> int:
    return count


def short_of(*names: str) -> Callable[[Group, int], int]:
    def take(group: Group, count: int) -> int:
        return 0 if group.queues[0] in names else count

    return take


def served(groups: list[Group], slots: int, take: Callable[[Group, int], int] = endless) -> dict[str, int]:
    counts = Counter[str]()

    def count(group: Group, slots: int) -> int:
        got = take(group, slots)
        counts[group.queues[0]] += got
        return got

    fill(groups, slots, count)
    return {name: n for name, n in counts.items() if n}


def test_fair_queues_are_one_group() -> None:
    assert groups_of(["a", "b", "a"], Order()) == [Group(("a", "b"))]


def test_strict_order_serves_the_first_that_has_work() -> None:
    groups = groups_of(["a", "b", "c"], Order(strict=True))

    assert served(groups, 5) == {"a": 5}
    assert served(groups, 5, short_of("a")) == {"b": 5}
    assert served(groups, 5, short_of("a", "b", "c")) == {}


@pytest.mark.parametrize("slots", [1, 7, 100])
def test_shares_are_those_of_the_weights_whatever_the_batch(slots: int) -> None:
    groups = groups_of(["a", "b", "c"], Order((5, 3, 2)))
    counts = Counter[str]()

    for _ in range(1_000):
        counts.update(served(groups, slots))

    assert {name: n / (1_000 * slots) for name, n in counts.items()} == pytest.approx(
        {"a": 0.5, "b": 0.3, "c": 0.2}, rel=0.02
    )


def test_share_of_one_without_work_is_divided_by_the_weights_of_the_rest() -> None:
    groups = groups_of(["a", "b", "c"], Order((8, 3, 1)))

    assert served(groups, 120, short_of("a")) == {"b": 90, "c": 30}


def test_one_without_work_saves_nothing_up() -> None:
    groups = groups_of(["a", "b"], Order((1, 1)))
    served(groups, 100, short_of("a"))

    assert served(groups, 10) == {"a": 5, "b": 5}


def test_state_of_copies_is_their_own() -> None:
    groups = groups_of(["a", "b"], Order((2, 1)))
    served(copied(groups), 1)

    assert [group.credit for group in groups] == [0, 0]


def lanes(group: Group, waiting: list[int], slots: int) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < slots:
        lane, most = group.next(waiting)
        count = min(most or slots, slots - len(chosen))
        group.gave(waiting, lane, count)
        chosen += [lane] * count
    return chosen


def test_one_slot_in_twelve_goes_to_a_lower_priority_that_waits() -> None:
    chosen = lanes(Group(("a",)), [9, 0], 120)

    assert chosen.count(0) == 120 // GUARD
    assert chosen[: GUARD - 1] == [9] * (GUARD - 1)


def test_slots_that_pass_nobody_by_count_for_nothing() -> None:
    group = Group(("a",))
    lanes(group, [9, 0], GUARD - 1)
    lanes(group, [0], 100)

    assert lanes(group, [9, 0], 1) == [9]


def test_lower_priorities_take_turns_in_the_slots_of_the_guard() -> None:
    chosen = Counter(lanes(Group(("a",)), [9, 5, 3, 0], 12 * 30))

    assert (chosen[5], chosen[3], chosen[0]) == (10, 10, 10)


def test_weights_are_read_from_the_names() -> None:
    assert weighed(["high:5", "default"]) == (("high", "default"), (5, 1))
    assert weighed(["high", "default", "high"]) == (("high", "default"), ())
    assert weighed(["shard:5:1", "b:2"]) == (("shard:5", "b"), (1, 2))
    assert weighed(["a:b"]) == (("a:b",), ())
    assert listed(" high:5 , default:1,") == ("high:5", "default:1")


@pytest.mark.parametrize("spec", ["high:0", "high:-1", "high:1.5", "high:1001", "high:+3", "high:."])
def test_what_is_no_weight_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"a weight is a whole number from 1 to 1000, as high:5"):
        weighed([spec, "default:1"])


def test_two_weights_of_one_queue_are_refused() -> None:
    with pytest.raises(ValueError, match="queue 'a' is named twice"):
        weighed(["a:1", "a:2"])
