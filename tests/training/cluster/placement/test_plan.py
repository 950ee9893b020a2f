"""Variables are dealt evenly, in bytes and in traffic, and what was dealt is what is checked."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from ctrkit.datasets.criteo_shape import CARDINALITIES
from ctrkit.errors import ConfigError, TrainingError
from ctrkit.training.cluster import Item, Plan, check, plan
from ctrkit.training.cluster.placement.strategies import STRATEGIES
from ctrkit.training.cluster.placement.table import comparison, size, split_variables
from ctrkit.training.cluster.placement.traffic import RowReads, counted_reads, one_after_another, uniform_reads


def item(name: str, rows: int, width: int = 1, *, slots: int = 0, traffic: float | None = None, **more: object) -> Item:
    size_of_row = 4 * width * (1 + slots)
    return Item(
        name=name,
        weight=int(more.pop("weight", 0)),  # type: ignore[call-overload]
        rows=rows,
        row_bytes=size_of_row,
        slots=slots,
        traffic=float(rows * width * 8 if traffic is None else traffic),
        **more,  # type: ignore[arg-type]
    )


def numbered(*items: Item) -> list[Item]:
    return [Item(**{**vars(one), "weight": number}) for number, one in enumerate(items)]


def criteo_items(batch: int = 4096) -> list[Item]:
    """Wide & Deep over Criteo's tables: Zipf's law over each of the 26 cardinalities."""
    impressions = 36_000_000
    tables = []
    for rows in CARDINALITIES:
        shares = np.log1p(1 / np.arange(1, rows + 1)) / np.log(rows + 1)
        counts = np.maximum(1, shares * impressions).astype(np.int64)
        tables.append(counted_reads(np.zeros(2), counts, impressions=counts.sum(), draws=batch))
    reads = one_after_another(tables)
    rows = reads.rows
    return numbered(
        item("embeddings/table", rows, 16, slots=1, traffic=reads.total * 136, splittable=True, reads=reads),
        item("hidden_1/kernel", 39 * 16, 256, slots=2, splittable=True),
        item("hidden_1/bias", 256, slots=2),
        item("hidden_2/kernel", 256, 256, slots=2, splittable=True),
        item("hidden_2/bias", 256, slots=2),
        item("linear/table", rows, 1, slots=1, traffic=reads.total * 16, splittable=True, reads=reads),
        item("hidden_3/kernel", 256, 256, slots=2, splittable=True),
        item("hidden_3/bias", 256, slots=2),
        item("deep_logit/kernel", 256, 1, slots=2, splittable=True),
        item("ctr/bias", 1, slots=2),
    )


@pytest.fixture(scope="module")
def criteo() -> list[Item]:
    return criteo_items()


@pytest.mark.parametrize("ps", [2, 4, 8, 16, 64])
def test_criteo_at_full_size_is_dealt_within_a_twentieth(criteo: list[Item], ps: int) -> None:
    start = time.perf_counter()
    for items in (criteo, [one for one in criteo if one.name.endswith("table")]):
        dealt = plan(items, ps)
        assert dealt.imbalance_bytes <= 1.05
        assert dealt.imbalance_traffic <= 1.05
    assert time.perf_counter() - start < 10
    for classic in ("round_robin", "greedy"):
        assert plan(criteo, ps, classic).imbalance_bytes > 1.5


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ps", [1, 3, 8])
def test_every_byte_lies_on_exactly_one_server(criteo: list[Item], strategy: str, ps: int) -> None:
    dealt = plan(criteo, ps, strategy)
    for one in criteo:
        shards = [shard for shard in dealt.shards if shard.item.name == one.name]
        assert [shard.part for shard in shards] == list(range(shards[0].parts))
        assert sum(shard.bytes for shard in shards) == one.bytes
        assert sum(shard.traffic for shard in shards) == pytest.approx(one.traffic)
        tasks = [dealt.task_of(one.name, shard.part) for shard in shards]
        assert len(set(tasks)) == len(tasks), "two parts of a variable lie together"
    assert dealt.bytes.sum() == sum(one.bytes for one in criteo)
    assert dealt.traffic.sum() == pytest.approx(sum(one.traffic for one in criteo))
    assert set(dealt.tasks) <= set(range(ps))


@pytest.mark.parametrize("seed", range(20))
def test_random_models_are_no_worse_than_by_the_classic_strategies(seed: int) -> None:
    random = np.random.default_rng(seed)
    items = numbered(
        *(
            item(
                f"v{k}",
                int(10 ** random.uniform(0, 6)),
                int(random.integers(1, 33)),
                slots=int(random.integers(3)),
                traffic=10 ** random.uniform(0, 6),
                splittable=bool(random.integers(2)),
            )
            for k in range(int(random.integers(1, 40)))
        )
    )
    ps = int(random.integers(1, 20))
    ours, *others = (plan(items, ps, name) for name in ("balanced", "greedy", "round_robin"))
    worst = max(ours.imbalance_bytes, ours.imbalance_traffic)
    assert worst <= min(max(o.imbalance_bytes, o.imbalance_traffic) for o in others) + 0.05


def test_classic_greedy_goes_by_creation_order_and_the_bytes_of_weights_alone() -> None:
    items = numbered(item("a", 10, slots=5), item("b", 12), item("c", 5, slots=2), item("d", 3), item("e", 9))
    # a: 40 to 0; b: 48 to 1; c: 20 to 0 (60); d: 12 to 1 (60); e: a tie goes to the first.
    assert plan(items, 2, "greedy").tasks == (0, 1, 0, 1, 0)
    assert plan(items, 2, "round_robin").tasks == (0, 1, 0, 1, 0)
    assert plan(items, 3, "greedy").tasks == (0, 1, 2, 2, 2)
    assert plan(items, 3, "round_robin").tasks == (0, 1, 2, 0, 1)


def test_slots_weigh_as_much_as_weights() -> None:
    items = numbered(item("with slots", 10, slots=2, traffic=0), *(item(name, 10, traffic=0) for name in "abc"))
    assert plan(items, 2).tasks == (0, 1, 1, 1)


def test_a_small_hot_variable_is_kept_away_from_the_hot_part_of_another() -> None:
    items = numbered(item("large", 1000, traffic=10), item("hot", 10, traffic=1000), item("warm", 10, traffic=900))
    dealt = plan(items, 2)
    assert dealt.task_of("hot") != dealt.task_of("warm")


def test_only_what_may_be_split_is_and_never_into_more_parts_than_rows() -> None:
    items = numbered(item("solid", 10_000), item("short", 3, 100_000, splittable=True))
    assert plan(items, 8).parts == {1: 3}
    assert plan(items, 1).parts == {}


def test_a_table_just_above_a_fair_share_gets_few_parts() -> None:
    small = [item(f"t{k}", 10, splittable=True) for k in range(400)]
    assert plan(numbered(item("large", 800, splittable=True), *small), 8).parts == {0: 2}


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 64, 1000])
def test_traffic_of_parts_is_that_of_their_rows(parts: int) -> None:
    random = np.random.default_rng(parts)
    counts = np.sort(random.zipf(1.3, 500))[::-1]
    reads = counted_reads(np.array([3.0, 0.0]), counts, impressions=counts.sum() + 3, draws=100)
    shares = np.concatenate([[3, 0], counts]) / (counts.sum() + 3)
    by_row = 1 - (1 - shares) ** 100
    expected = [by_row[part::parts].sum() for part in range(parts)]
    np.testing.assert_allclose(reads.by_part(parts), expected, atol=1e-9)
    assert reads.total == pytest.approx(by_row.sum())
    assert len(reads.starts) < 300  # Runs, not rows.


def test_tables_one_after_another_keep_their_reads() -> None:
    first, second = uniform_reads(5, 10), uniform_reads(3, 2)
    fused = one_after_another([first, second])
    by_row = [1 - 0.8**10] * 5 + [1 - (2 / 3) ** 2] * 3
    np.testing.assert_allclose(fused.by_part(8), by_row)


def test_expected_distinct_rows_are_those_of_drawn_batches() -> None:
    counts = np.array([500, 300, 100, 50, 30, 10, 5, 3, 1, 1])
    reads = counted_reads(np.zeros(1), counts, impressions=1000, draws=64)
    random = np.random.default_rng(0)
    drawn = [len(np.unique(random.choice(10, 64, p=counts / 1000))) for _ in range(4000)]
    assert reads.total == pytest.approx(np.mean(drawn), rel=0.02)


def test_a_plan_comes_back_from_json(criteo: list[Item]) -> None:
    dealt = plan(criteo, 8)
    back = Plan.from_dict(json.loads(json.dumps(dealt.to_dict())))
    assert back == dealt
    assert back.parts == dealt.parts
    np.testing.assert_array_equal(back.traffic, dealt.traffic)
    with pytest.raises(ConfigError, match=r"not a plan: KeyError\('shards'\)"):
        Plan.from_dict({"ps": 2})


def test_the_graph_that_is_as_planned_passes(criteo: list[Item]) -> None:
    dealt = plan(criteo, 4)
    actual = {f"{name}:0": task for name, task in dealt.variables.items()}
    check(dealt, {**actual, "global_step:0": 0, "embeddings/table/part_0/Adagrad": 3})
    assert "embeddings/table/part_3" in dealt.variables


def test_a_variable_that_lies_elsewhere_is_named(criteo: list[Item]) -> None:
    dealt = plan(criteo, 4)
    actual = dict(dealt.variables)
    planned = actual["hidden_1/bias"]
    actual["hidden_1/bias"] = (planned + 1) % 4
    del actual["ctr/bias"]
    expected = (
        rf"\(balanced, 4 parameter servers\): 'hidden_1/bias' is on ps {(planned + 1) % 4}, planned on ps {planned}; "
        r"'ctr/bias' is nowhere, planned on ps \d.*ctrkit cluster placement"
    )
    with pytest.raises(TrainingError, match=expected):
        check(dealt, actual)
    with pytest.raises(TrainingError, match=r"and 22 more\. Start all tasks"):
        check(dealt, {})


def test_what_cannot_be_is_refused_with_what_to_type() -> None:
    items = numbered(item("a", 3))
    for ps in (0, -1, True, 2.0, None):
        with pytest.raises(
            ConfigError, match=r"cluster\.ps is .*expected a whole number of at least 1, e\.g\. cluster\.ps=2"
        ):
            plan(items, ps)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"cluster\.placement is 'ballanced'.*Did you mean 'balanced'\?"):
        plan(items, 2, "ballanced")
    with pytest.raises(ConfigError, match="no variables"):
        plan([], 2)
    with pytest.raises(ConfigError, match=r"several variables are called 'a'"):
        plan(numbered(item("a", 3), item("a", 3)), 2)
    with pytest.raises(ConfigError, match=r"'a' has 0 rows"):
        item("a", 0)
    dealt = plan(items, 2)
    with pytest.raises(ConfigError, match=r"no variable 'A/b' in the plan\. Valid: 'a'"):
        dealt.task_of("A/b")
    with pytest.raises(ConfigError, match=r"'a' has 1 part\(s\), got number 1"):
        dealt.task_of("a", 1)


def test_a_model_without_traffic_is_dealt_by_bytes() -> None:
    items = numbered(*(item(f"v{k}", 10, traffic=0) for k in range(4)))
    dealt = plan(items, 2)
    assert sorted(dealt.tasks) == [0, 0, 1, 1]
    assert dealt.imbalance_traffic == 1


def test_the_table_names_each_server_and_the_split_variables(criteo: list[Item]) -> None:
    plans = [plan(criteo, 4, name) for name in ("round_robin", "greedy", "balanced")]
    text = comparison(plans)
    assert "classic greedy" in text.splitlines()[0]
    assert [line.split()[1] for line in text.splitlines()[2:-1]] == ["0", "1", "2", "3"]
    last = text.splitlines()[-1].split()
    assert last[0] == "largest/mean"
    assert [float(cell) for cell in last[1:]] == pytest.approx(
        [x for p in plans for x in (p.imbalance_bytes, p.imbalance_traffic)], abs=0.006
    )
    assert split_variables(plans[2])[0].startswith("embeddings/table (33,762,629 rows, 4.32 GB) in 4 parts")
    assert len(plan(criteo, 64).table().splitlines()) == 2 + 8 + 1 + 8 + 1


def test_sizes_have_three_digits() -> None:
    found = [size(n) for n in (0, 12, 999, 1000, 123_456, 999_600, 4.3e9, 2e15)]
    assert found == ["0 B", "12 B", "999 B", "1 kB", "123 kB", "1 MB", "4.3 GB", "2,000 TB"]


def test_planning_needs_no_tensorflow() -> None:
    code = (
        "import sys; from ctrkit.training.cluster import Item, plan, items_of, check, ClusterOptions\n"
        "assert not {'tensorflow', 'hydra', 'polars', 'matplotlib'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_row_reads_know_their_lengths() -> None:
    reads = RowReads(rows=10, starts=np.array([0, 4]), expected=np.array([1.0, 0.5]))
    assert reads.lengths.tolist() == [4, 6]
    assert reads.total == 7


def test_where_a_whole_variable_sets_the_limit_others_are_not_split_in_vain() -> None:
    small = [item(f"t{k}", 100, splittable=True) for k in range(50)]
    dealt = plan(numbered(item("whole", 5000), *small), 4)
    assert dealt.imbalance_bytes == pytest.approx(2)
    assert dealt.parts == {}
