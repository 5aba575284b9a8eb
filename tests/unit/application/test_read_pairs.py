"""Pairs read into a run, cut into splits, and loaded again."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes.pairs import MemoryPairSource
from fakes.stores import MemoryRunStore, MemorySpool
from hypothesis import given, strategies as st

from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.filesystem.spool import ArrowSpool
from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.load_pairs import LoadPairs
from fusionapp.application.services.read_pairs import PairsRead, ReadPairs
from fusionapp.domain.errors import CorruptArtifactError, DatasetError, UsageError
from fusionapp.domain.retrieval.pairs import Document, Pair


@attrs.frozen
class Bench:
    """Where pairs are read to and loaded from."""

    spool: Spool
    runs: RunStore

    def read(self, splits: dict[str, list[Pair]], corpora: Any = None, **how: Any) -> PairsRead:
        return ReadPairs(MemoryPairSource(splits, corpora), self.spool, self.runs)(**how)

    @property
    def load(self) -> LoadPairs:
        return LoadPairs(self.spool, self.runs)


def in_memory(root: Path) -> Bench:
    return Bench(MemorySpool(), MemoryRunStore())


def on_disk(root: Path) -> Bench:
    return Bench(ArrowSpool(root / "run/spool"), RunDirectory(root / "run"))


@pytest.fixture(params=[in_memory, on_disk], ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    make: Callable[[Path], Bench] = request.param
    return make(tmp_path)


def simple(number: int, **more: Any) -> Pair:
    return Pair(f"ask {number}", f"tell {number}", f"q{number}", f"d{number}", **more)


def named(pairs: PairSet) -> list[tuple[str, str, int, list[str]]]:
    """Pairs spelled out: query, document, grade, negatives."""
    return [
        (
            pairs.queries[query],
            pairs.documents[document],
            int(pairs.grades[row]),
            [pairs.documents[n] for n in pairs.negatives[row] if n >= 0],
        )
        for row, (query, document) in enumerate(pairs.pairs.tolist())
    ]


TRAIN = [
    Pair("a", "A", "q1", "d1", "t", "l", "2020", ("N", "B")),
    Pair("a", "B", "q1", "d2"),
    Pair("b", "A", "q2", "d1", "t", "l", "2020", ("M", "N", "N"), 2),
    Pair("a", "A", "q1", "d1", "t", "l", "2020", ("O",), 3),
]
SPLITS = {"train": TRAIN, "validation": [simple(1)], "test": [simple(2)]}


def test_pairs_come_back_each_once_with_its_highest_grade_and_all_negatives(bench: Bench) -> None:
    bench.read(SPLITS)
    assert named(bench.load("train")) == [
        ("a", "A", 3, ["N", "O"]),  # B is relevant to a
        ("a", "B", 1, []),
        ("b", "A", 2, ["M", "N"]),
    ]


def test_queries_and_documents_stand_once_in_the_order_of_appearance(bench: Bench) -> None:
    bench.read(SPLITS)
    pairs = bench.load("train")
    assert list(pairs.queries) == ["a", "b"]
    assert list(pairs.documents) == ["A", "B", "N", "M", "O"]
    assert list(pairs.query_ids) == ["q1", "q2"]
    assert list(pairs.document_ids)[:2] == ["d1", "d2"]
    assert list(pairs.topics) == ["t", None, None, None, None]
    assert list(pairs.labels) == ["l", None, None, None, None]


def test_what_was_left_out_is_counted(bench: Bench) -> None:
    kept = bench.read(SPLITS).splits["train"]
    assert attrs.asdict(kept) == {
        "pairs": 3,
        "queries": 2,
        "documents": 5,
        "corpus": 0,
        "repeated": 1,
        "relevant_negatives": 1,
    }


def test_columns_can_be_sliced_and_counted_from_the_end(bench: Bench) -> None:
    bench.read(SPLITS)
    documents = bench.load("train").documents
    assert documents[-1] == "O"
    assert documents[1:3] == ["B", "N"]
    assert documents[::2] == ["A", "N", "O"]
    assert documents[4:1] == []
    with pytest.raises(IndexError):
        documents[5]


def test_a_split_is_read_once_and_its_staging_is_gone(tmp_path: Path) -> None:
    spool, source = MemorySpool(), MemoryPairSource(SPLITS)
    ReadPairs(source, spool, MemoryRunStore())()
    assert sorted(source.readings) == ["test", "train", "validation"]
    assert sorted(spool.splits) == sorted(f"{s}.{kind}" for s in SPLITS for kind in ("queries", "documents"))


def test_the_spool_of_a_run_verifies(bench: Bench) -> None:
    bench.read(SPLITS)
    assert not bench.spool.verify()
    assert not bench.runs.verify()


def test_the_search_problem_holds_grades_by_row_and_the_corpus(bench: Bench) -> None:
    corpus = {"test": [Document("c1", "beside", "t")]}
    bench.read({**SPLITS, "test": [simple(2, grade=2), Pair("ask 2", "C", "q2", "dc")]}, corpus)
    problem = bench.load.search_problem("test")
    assert problem.relevant == [{0: 2, 1: 1}]
    assert problem.queries.texts(0, 9) == ["ask 2"]
    assert problem.documents.texts(0, 9) == ["tell 2", "C", "beside"]
    assert [id["id"] for id in problem.documents.ids()] == ["d2", "dc", "c1"]


def test_documents_of_one_text_and_two_ids_stay_two(bench: Bench) -> None:
    bench.read({**SPLITS, "test": [Pair("a", "A", "q1", "d1"), Pair("b", "A", "q2", "d2", negatives=("A",))]})
    pairs = bench.load("test")
    assert list(pairs.document_ids) == ["d1", "d2"]
    assert pairs.negatives.shape == (2, 0)  # the negative's text is that of the relevant document


def test_train_alone_is_cut_into_three(bench: Bench) -> None:
    read = bench.read({"train": [simple(n) for n in range(50)]})
    assert read.drawn == ("validation", "test")
    assert {name: kept.pairs for name, kept in read.splits.items()} == {
        "train": 35,
        "validation": 5,
        "test": 10,
    }


def test_a_missing_validation_alone_is_drawn(bench: Bench) -> None:
    read = bench.read({"train": [simple(n) for n in range(50)], "test": [simple(99)]})
    assert {name: kept.pairs for name, kept in read.splits.items()} == {
        "train": 45,
        "validation": 5,
        "test": 1,
    }


def test_splits_by_date_keep_the_latest_for_test(bench: Bench) -> None:
    bench.read({"train": [simple(n, date=f"20{n:02}") for n in range(20)]}, by="date")
    assert list(bench.load("test").document_ids) == ["d16", "d17", "d18", "d19"]
    assert list(bench.load("validation").document_ids) == ["d14", "d15"]


def test_a_corpus_can_be_found_in_every_drawn_split(bench: Bench) -> None:
    bench.read({"train": [simple(n) for n in range(20)]}, {"train": [Document("c", "beside")]})
    assert [list(bench.load(name).documents)[-1] for name in ("train", "validation", "test")] == [
        "beside"
    ] * 3


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 3)), min_size=120, max_size=160
    ),
    st.integers(0, 3),
)
def test_no_text_of_a_pair_leaks_into_another_split(rows: list[tuple[int, int, int]], seed: int) -> None:
    """Texts repeat under several ids, queries share documents and documents queries."""
    pairs = [Pair(f"ask {q}", f"tell {d}", f"q{q}.{v}", f"d{d}.{v}") for q, d, v in rows if abs(q - d) < 2]
    pairs += [simple(1000 + n) for n in range(40)]
    bench = Bench(MemorySpool(), MemoryRunStore())
    read = bench.read({"train": pairs}, seed=seed)
    assert not read.shared.queries
    assert not read.shared.documents
    loaded = [pair[:2] for name in read.splits for pair in named(bench.load(name))]
    assert sorted(loaded) == sorted(
        {(p.query_id, p.document_id): (p.query, p.document) for p in pairs}.values()
    )


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4), st.integers(0, 4), st.lists(st.integers(0, 7), max_size=3), st.integers(1, 3)
        ),
        min_size=1,
        max_size=12,
    )
)
def test_loaded_pairs_are_those_of_the_slow_loop(rows: list[tuple[int, int, list[int], int]]) -> None:
    pairs = [
        Pair(f"q{q}", f"t{d}", f"q{q}", f"d{d}", negatives=tuple(f"t{n}" for n in negatives), grade=grade)
        for q, d, negatives, grade in rows
    ]
    bench = Bench(MemorySpool(), MemoryRunStore())
    bench.read({"train": pairs, "validation": [simple(1)], "test": [simple(2)]})
    relevant: dict[str, set[str]] = {}
    slow: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for pair in pairs:
        relevant.setdefault(pair.query, set()).add(pair.document)
        grade, listed = slow.get((pair.query, pair.document), (1, []))
        slow[pair.query, pair.document] = (max(grade, pair.grade), [*listed, *pair.negatives])
    expected = [
        (q, d, grade, list(dict.fromkeys(n for n in listed if n not in relevant[q])))
        for (q, d), (grade, listed) in slow.items()
    ]
    assert named(bench.load("train")) == expected


@pytest.mark.slow
def test_texts_are_held_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    class Long(MemoryPairSource):
        def read(self, split: str) -> Iterator[Pair]:
            for n in range(5000):
                yield Pair(f"ask {n}", f"{n} " + "word " * 2000, f"q{n}", f"d{n}")

    bench = on_disk(tmp_path)
    bench.read({"train": [simple(n) for n in range(50)]})  # what is imported on the way is no text
    tracemalloc.start()
    ReadPairs(Long({"train": []}), bench.spool, bench.runs)()
    texts = sum(len(text) for text in bench.load("train").documents)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert texts > 35_000_000
    assert peak < texts / 2


def test_texts_that_stand_in_several_splits_are_reported(bench: Bench) -> None:
    splits = {
        "train": [simple(1), Pair("Dark Matter!", "x", "q5", "d5")],
        "validation": [simple(3)],
        "test": [Pair("ask 1", "other", "q9", "d9"), Pair("dark  matter", "y", "q8", "d8")],
    }
    shared = bench.read(splits).shared
    assert shared.queries == {("train", "test"): 1}
    assert shared.near_queries == {("train", "test"): 2}
    assert not shared.documents
    assert list(shared.sentences()) == [
        "2 queries stand in train and in test: 1 to the letter, 1 but for case, spaces or punctuation"
    ]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([simple(1), Pair(" ", "d", "q", "d")], r"memory \(train\), row 1 .*: the query is blank"),
        ([Pair("q", "\n", "q", "d")], "row 0 .*: the document is blank"),
        ([Pair("q", "d", "q", "d", negatives=("",))], "row 0 .*: the negative is blank"),
        (
            [simple(1), simple(2), Pair("other", "d", "q1", "d")],
            "row 2 .*: query 'q1' has another text than before",
        ),
        ([simple(1), Pair("q", "other", "q", "d1")], "row 1 .*: document 'd1' has another text than before"),
        ([], "split 'train' has no pairs"),
    ],
)
def test_pairs_that_cannot_be_trained_on_are_refused_and_leave_no_staging(
    bench: Bench, pairs: Sequence[Pair], said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        bench.read({**SPLITS, "train": list(pairs)})
    with pytest.raises(UsageError):
        bench.spool.read("train.pairs")


@pytest.mark.parametrize(
    ("corpus", "said"),
    [
        ([Document("c", " ")], "document 'c' is blank"),
        ([Document("c", "x"), Document("c", "x")], "document 'c' stands in the corpus twice"),
        ([Document("d1", "tell 1")], "document 'd1' stands in the corpus twice"),
    ],
)
def test_a_corpus_with_a_blank_or_repeated_document_is_refused(
    bench: Bench, corpus: list[Document], said: str
) -> None:
    train = [simple(1, negatives=("n",))]
    with pytest.raises(DatasetError, match=said):
        bench.read({**SPLITS, "train": train}, {"train": corpus})


def test_a_limit_takes_the_first_pairs(bench: Bench) -> None:
    assert bench.read(SPLITS, limit=1).splits["train"].pairs == 1


def test_rows_that_fit_no_text_are_corruption(bench: Bench) -> None:
    bench.read(SPLITS)
    bench.runs.write_table("pairs/test.parquet", {"query": [0], "document": [7], "grade": [1]})
    with pytest.raises(CorruptArtifactError, match=r"pairs/test.parquet: column 'document' does not fit"):
        bench.load("test")


def test_a_split_that_was_not_read_cannot_be_loaded(bench: Bench) -> None:
    bench.read(SPLITS)
    with pytest.raises(UsageError):
        bench.load("extra")
