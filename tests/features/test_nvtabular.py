"""NVTabular's categories: both layouts, written as its source writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.models import INT64, make_model

import pyrec_infer as pi
from pyrec_infer.errors import SchemaError

arrow = pytest.importorskip("pyarrow", reason="writes Parquet files")
parquet = pytest.importorskip("pyarrow.parquet", reason="writes Parquet files")

CITIES, ZIPS = ["Rome", "Oslo", "Łódź"], [7, 3, 2**40]


def write(path: Path, columns: dict[str, Any], begin: int | None = None, **how: Any) -> None:
    table = arrow.table(columns)
    if begin is not None:
        index = {"kind": "range", "name": None, "start": begin, "stop": begin + len(table), "step": 1}
        text = str({"index_columns": [index]}).replace("'", '"').replace("None", "null")
        table = table.replace_schema_metadata({"pandas": text})
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(table, path, **how)


def earlier(folder: Path) -> None:
    write(folder / "unique.city.parquet", {"city": [None, *CITIES], "city_size": [0, 5, 3, 1]})
    # pandas keeps whole numbers beside null as floats.
    write(folder / "unique.zip.parquet", {"zip": [None, *map(float, ZIPS)]})


def later(folder: Path, **changed: Any) -> None:
    for name, values in (("city", CITIES), ("zip", ZIPS)):
        meta = {"kind": ["pad", "null", "oov", "unique"], "offset": [0, 1, 2, 3], "num_indices": [1, 1, 1, 3]}
        write(folder / f"unique.{name}.parquet", {name: values, f"{name}_size": [5, 3, 1]}, begin=3)
        write(folder / f"meta.{name}.parquet", {**meta, "num_observed": [0, 2, 1, 9], **changed})


def model(schema: pi.Schema) -> pi.Model:
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in ("city", "zip")]
    shapes: Any = {"city": (INT64, ["N"]), "zip": (INT64, ["N"])}
    source = make_model(nodes, shapes, {f"{name} out": shape for name, shape in shapes.items()})
    return pi.load(source.SerializeToString(), schema=schema)


ROWS: dict[str, list[Any]] = {"city": ["Oslo", None, "Paris", "Łódź", ""], "zip": [2**40, 7, None, 8, 0]}


@pytest.mark.parametrize("start", [0, 16])
def test_the_earlier_layout(tmp_path: Path, start: int) -> None:
    earlier(tmp_path / "categories")
    made = model(pi.Schema.from_nvtabular(tmp_path, start_index=start)).run(ROWS)
    assert made["city out"].tolist() == [start + id for id in (2, 0, 0, 3, 0)]
    assert made["zip out"].tolist() == [start + id for id in (3, 1, 0, 0, 0)]


@pytest.mark.parametrize("reader", ["pyarrow", "polars"])
def test_the_later_layout(tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later(tmp_path)
    if reader == "polars":
        pytest.importorskip("polars", reason="reads Parquet files")
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    made = model(pi.Schema.from_nvtabular(tmp_path)).run(ROWS)
    assert made["city out"].tolist() == [4, 1, 2, 5, 2]
    assert made["zip out"].tolist() == [5, 3, 1, 2, 2]


def test_a_saved_workflow_without_the_tables_meta(tmp_path: Path) -> None:
    later(tmp_path / "categories")
    schema = pi.Schema.from_nvtabular(tmp_path)
    for one in (tmp_path / "categories").glob("meta.*"):
        one.unlink()
    assert pi.Schema.from_nvtabular(tmp_path) == schema
    made = model(schema).run(ROWS)
    assert made["city out"].tolist() == [4, 1, 2, 5, 2]
    with pytest.raises(SchemaError, match=r"field 'city'.*no start_index"):
        pi.Schema.from_nvtabular(tmp_path, start_index=1)


@pytest.mark.once
@pytest.mark.parametrize("reader", ["pyarrow", "polars"])
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4"])
@pytest.mark.parametrize("page", ["1.0", "2.0"])
def test_every_codec_and_page(
    tmp_path: Path, reader: str, codec: str, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reader == "polars":
        pytest.importorskip("polars", reason="reads Parquet files")
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    words = [None, *(f"word {i % 700}" if i < 700 else f"other {i}" for i in range(3000))]
    for name, dictionary in (("a", True), ("b", False)):
        how = {"compression": codec, "data_page_version": page, "use_dictionary": dictionary}
        path = tmp_path / f"unique.{name}.parquet"
        write(path, {name: words}, **how, data_page_size=512, row_group_size=999)
    for field in pi.Schema.from_nvtabular(tmp_path).fields:
        assert field.transforms[0].values == tuple(words[1:])


@pytest.mark.once
@pytest.mark.parametrize("argument", ["to", "sides", "joint"])
def test_names_of_no_column_are_refused(tmp_path: Path, argument: str) -> None:
    later(tmp_path)
    with pytest.raises(
        SchemaError, match=f"{argument}: there is no column 'town', expected some of city, zip"
    ):
        pi.Schema.from_nvtabular(tmp_path, **{argument: {"town": "x"}})


@pytest.mark.once
def test_parts_and_vocabularies_that_columns_share(tmp_path: Path) -> None:
    folder = tmp_path / "unique.a_b.parquet"
    folder.mkdir()
    write(folder / "part.0.parquet", {"a_b": [None, "x"]})
    for part in range(1, 11):
        write(folder / f"part.{part}.parquet", {"a_b": [f"y{part}"]})
    schema = pi.Schema.from_nvtabular(
        tmp_path, joint={"a_b": ["a", "b"]}, to={"b": "c"}, sides={"a": "request"}
    )
    assert [(one.name, one.to, one.side) for one in schema.fields] == [
        ("a", ("a",), "request"),
        ("b", ("c",), "item"),
    ]
    assert schema.fields[0].transforms[0].values == ("x", *(f"y{part}" for part in range(1, 11)))
    assert pi.Schema.from_json(schema.to_json()) == schema


def _spoil(folder: Path, name: str) -> None:
    later(folder)
    path = folder / "unique.city.parquet"
    spoilt: dict[str, Any] = {
        "a combination": lambda: write(path, {"city": CITIES, "zip": ZIPS}),
        "another column": lambda: write(path, {"town": CITIES}),
        "fractions": lambda: write(path, {"city": [0.5, 1.0, 2.0]}),
        "null among them": lambda: write(path, {"city": ["a", None, "b"]}),
        "a value twice": lambda: write(path, {"city": ["Rome", "Rome", "b"]}),
        "fewer values": lambda: write(path, {"city": ["Rome"]}),
        "buckets": lambda: later(folder, num_indices=[1, 1, 4, 3], offset=[0, 1, 2, 6]),
        "other offsets": lambda: later(folder, offset=[0, 1, 3, 4]),
        "one table for all": lambda: write(path, {"city": CITIES}, begin=9),
        "no Parquet": lambda: path.write_bytes(b"PAR1" + bytes(99) + b"PAR1"),
        "cut": lambda: path.write_bytes(path.read_bytes()[:-9]),
        "nothing": lambda: path.write_bytes(b""),
        "no null": lambda: [
            write(path, {"city": CITIES}),
            *(one.unlink() for one in folder.glob("meta.*")),
        ],
        "null in the later layout": lambda: [
            write(path, {"city": [None, "a"]}, begin=3),
            *(one.unlink() for one in folder.glob("meta.*")),
        ],
        "ids behind others": lambda: [
            write(path, {"city": CITIES}, begin=6),
            *(one.unlink() for one in folder.glob("meta.*")),
        ],
        "one table for one column": lambda: later(folder, num_observed=[0.0, None, 0.0, 6.0]),
        "one string for thousands": lambda: write(
            path, {"city": arrow.DictionaryArray.from_arrays(np.zeros(1 << 13, np.int32), ["x" * (1 << 16)])}
        ),
    }
    spoilt[name]()


@pytest.mark.once
@pytest.mark.parametrize(
    "name",
    [
        "a combination",
        "another column",
        "fractions",
        "null among them",
        "a value twice",
        "fewer values",
        "buckets",
        "other offsets",
        "one table for all",
        "no Parquet",
        "cut",
        "nothing",
        "no null",
        "null in the later layout",
        "ids behind others",
        "one table for one column",
        "one string for thousands",
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    _spoil(tmp_path, name)
    with pytest.raises(SchemaError, match="field 'city'") as told:
        pi.Schema.from_nvtabular(tmp_path)
    assert "Rome" not in str(told.value)


@pytest.mark.once
def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SchemaError, match=r"unique\.<column>\.parquet"):
        pi.Schema.from_nvtabular(tmp_path)
    with pytest.raises(SchemaError, match="expected a folder"):
        pi.Schema.from_nvtabular(tmp_path / "nowhere")
    later(tmp_path)
    with pytest.raises(SchemaError, match="no start_index"):
        pi.Schema.from_nvtabular(tmp_path, start_index=2)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(SchemaError, match="install pyarrow or polars"):
        pi.Schema.from_nvtabular(tmp_path)
