"""Pipelines of Spark ML, written as its savers write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import IdRangeError, InputError, SchemaError

arrow = pytest.importorskip("pyarrow", reason="writes Parquet files")
parquet = pytest.importorskip("pyarrow.parquet", reason="writes Parquet files")


def vector(*values: float) -> dict[str, Any]:
    return {"type": 1, "size": None, "indices": None, "values": list(values)}


def sparse(size: int, **values: float) -> dict[str, Any]:
    places = [int(place[1:]) for place in values]
    return {"type": 0, "size": size, "indices": places, "values": list(values.values())}


def stage(folder: Path, kind: str, params: dict[str, Any], data: dict[str, Any] | None = None) -> None:
    """One stage: ``metadata`` as text, ``data`` of one row."""
    for name in ("metadata", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "_SUCCESS").touch()
    uid = folder.name.split("_", 1)[-1]
    meta = {"class": f"org.apache.spark.ml.{kind}", "sparkVersion": "3.5.1", "uid": uid}
    own = {"paramMap": params, "defaultParamMap": {"outputCol": f"{uid}__output", "handleInvalid": "error"}}
    (folder / "metadata" / "part-00000").write_text(json.dumps({**meta, **own}) + "\n")
    (folder / "metadata" / ".part-00000.crc").write_bytes(b"crc")
    if data is not None:
        rows = {name: [value] for name, value in data.items()}
        parquet.write_table(arrow.table(rows), folder / "data" / "part-00000-1f-c000.snappy.parquet")


def pipeline(folder: Path, *stages: tuple[Any, ...]) -> Path:
    uids = [f"{kind.rsplit('.', 1)[-1]}_{place}" for place, (kind, *_) in enumerate(stages)]
    stage(folder, "PipelineModel", {"stageUids": uids})
    for place, (uid, (kind, *rest)) in enumerate(zip(uids, stages, strict=True)):
        stage(folder / "stages" / f"{place}_{uid}", kind, *rest)
    return folder


def model(schema: pi.Schema, **shapes: int) -> pi.Model:
    """A model that gives its inputs back: matrices of so many columns, or ids where that is 0."""
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in shapes]
    types: Any = {name: (FLOAT, ["N", size]) if size else (INT64, ["N"]) for name, size in shapes.items()}
    source = make_model(nodes, types, {f"{name} out": types[name] for name in shapes})
    return pi.load(source.SerializeToString(), schema=schema)


CITY = ("feature.StringIndexerModel", {"inputCol": "city", "outputCol": "city_id", "handleInvalid": "keep"})


def whole(folder: Path) -> Path:
    """Indexers, a one-hot encoder that drops the last, an imputer and a scaler of a vector."""
    indexed = {"inputCols": ["city", "zip"], "outputCols": ["c", "z"], "handleInvalid": "keep"}
    hot = {"inputCols": ["c", "z"], "outputCols": ["c1", "z1"], "handleInvalid": "error"}
    filled = {"inputCols": ["age"], "outputCols": ["age2"], "missingValue": "NaN", "strategy": "mean"}
    return pipeline(
        folder,
        ("feature.StringIndexerModel", indexed, {"labelsArray": [["Rome", "Oslo"], ["7", "-3"]]}),
        ("feature.OneHotEncoderModel", hot, {"categorySizes": [3, 3]}),
        ("feature.ImputerModel", filled, {"age": 30.0}),
        ("feature.VectorAssembler", {"inputCols": ["age2", "price"], "outputCol": "dense"}),
        (
            "feature.StandardScalerModel",
            {"inputCol": "dense", "outputCol": "scaled", "withMean": True, "withStd": True},
            {"std": vector(10.0, 0.0), "mean": sparse(2, p0=30.0)},
        ),
        ("feature.VectorAssembler", {"inputCols": ["scaled", "c1", "z1"], "outputCol": "features"}),
        ("classification.LogisticRegressionModel", {"featuresCol": "features"}),
    )


def test_a_pipeline(tmp_path: Path) -> None:
    schema = pi.Schema.from_spark(whole(tmp_path / "p"), {"features": "X"}, dtypes={"zip": "integer"})
    rows = {"city": ["Rome", "Oslo", "Paris", None], "zip": [-3, 7, 7, None]}
    made = model(schema, X=6).run({**rows, "age": [50, None, np.nan, 20], "price": [5, 6, 7, 8]})["X out"]
    expected = [[2, 0, 1, 0, 0, 1], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 0], [-1, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(made, np.float32(expected))
    with pytest.raises(InputError, match=r"field 'price'.*row 1"):
        model(schema, X=6).run({"city": ["a"] * 2, "zip": [1, 2], "age": [1, 2], "price": [1, None]})
    assert pi.Schema.from_json(schema.to_json()) == schema


def test_an_indexer_of_spark_2(tmp_path: Path) -> None:
    stage(tmp_path / "s", *CITY, {"labels": ["Rome", "Łódź", ""]})
    made = model(pi.Schema.from_spark(tmp_path / "s"), city_id=0)
    assert made.run({"city": ["", "Łódź", "x", None]})["city_id out"].tolist() == [2, 1, 3, 3]
    stage(tmp_path / "s", CITY[0], {**CITY[1], "handleInvalid": "error"}, {"labels": ["Rome"]})
    strict = model(pi.Schema.from_spark(tmp_path / "s"), city_id=0)
    assert strict.run({"city": ["Rome"]})["city_id out"].tolist() == [0]
    with pytest.raises(IdRangeError, match=r"city.*row 1"):
        strict.run({"city": ["Rome", "Oslo"]})


def test_buckets(tmp_path: Path) -> None:
    splits: list[Any] = ["-Inf", 0.0, 1.5, "Inf"]
    params = {"inputCol": "x", "outputCol": "b", "splits": splits, "handleInvalid": "keep"}
    stage(tmp_path / "s", "feature.Bucketizer", params)
    x = [-np.inf, -1e308, -1.0, -0.0, 1.0, 1.5, 9.0, np.inf, np.nan]
    schema = pi.Schema.from_spark(tmp_path / "s")
    fields = [type(one)(**{**vars(one), "infinity": "keep"}) for one in schema.fields]
    made = model(pi.Schema(fields), b=0).run({"x": x})["b out"]
    assert made.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3]
    with pytest.raises(InputError, match=r"field 'x'.*row 1"):
        model(schema, b=0).run({"x": [1.0, None]})
    stage(
        tmp_path / "s", "feature.Bucketizer", {**params, "splits": [0.0, 1.0, 2.0], "handleInvalid": "error"}
    )
    ends = model(pi.Schema.from_spark(tmp_path / "s"), b=0)
    assert ends.run({"x": [0.0, 1.0, 2.0]})["b out"].tolist() == [0, 1, 1]
    stage(tmp_path / "s", "feature.Bucketizer", {**params, "splits": [0.0, 1.0, 2.0]})
    kept = model(pi.Schema.from_spark(tmp_path / "s"), b=0)
    assert kept.run({"x": [0.0, np.nan, 1.0, 2.0]})["b out"].tolist() == [0, 2, 1, 1]
    for outside in (-0.1, float(np.nextafter(2.0, 3.0))):
        for strict in (ends, kept):
            with pytest.raises(IdRangeError, match=r"x.*row 1"):
                strict.run({"x": [1.0, outside]})


def test_stages_on_what_others_have_filled(tmp_path: Path) -> None:
    """What an imputer has filled is not missing for the stages behind it."""
    filled = {"inputCols": ["x", "z"], "outputCols": ["y", "w"], "strategy": "mode"}
    split = {"splits": ["-Inf", 0.0, 1.5, "Inf"], "handleInvalid": "keep"}
    folder = pipeline(
        tmp_path / "p",
        ("feature.ImputerModel", filled, {"x": 0.5, "z": 7.0}),
        ("feature.Bucketizer", {"inputCol": "y", "outputCol": "bucket", **split}),
        (
            "feature.StringIndexerModel",
            {"inputCol": "w", "outputCol": "id", "handleInvalid": "keep"},
            {"labelsArray": [["5", "7"]]},
        ),
    )
    made = model(pi.Schema.from_spark(folder, dtypes={"z": "integer"}), bucket=0, id=0)
    got = made.run({"x": [None, np.nan, 2.0, -1.0], "z": [None, 5, 7, 9]})
    assert got["bucket out"].tolist() == [1, 1, 2, 0]
    assert got["id out"].tolist() == [1, 0, 1, 2]


def test_an_assembler_that_keeps_what_is_missing(tmp_path: Path) -> None:
    filled = {"inputCol": "x", "outputCol": "y", "strategy": "median"}
    split = {"splits": ["-Inf", 0.0, 1.5, "Inf"], "splitsArray": [], "handleInvalid": "error"}
    folder = pipeline(
        tmp_path / "p",
        ("feature.ImputerModel", filled, {"x": 0.5}),
        ("feature.Bucketizer", {"inputCol": "n", "outputCol": "b", **split}),
        (
            "feature.VectorAssembler",
            {"inputCols": ["y", "m", "b"], "outputCol": "X", "handleInvalid": "keep"},
        ),
    )
    made = model(pi.Schema.from_spark(folder), X=3)
    got = made.run({"x": [None, np.nan, 3.0], "m": [None, np.nan, 4.0], "n": [-1.0, 0.0, 9.0]})["X out"]
    np.testing.assert_array_equal(got, np.float32([[0.5, np.nan, 0], [0.5, np.nan, 1], [3, 4, 2]]))
    for missing in (None, np.nan):
        with pytest.raises(InputError, match=r"field 'n'.*row 1"):
            made.run({"x": [1.0, 1.0], "m": [1.0, 1.0], "n": [1.0, missing]})


def test_buckets_spread_over_columns(tmp_path: Path) -> None:
    split = {"splits": ["-Inf", 0.0, 1.5, "Inf"], "handleInvalid": "keep"}
    hot = {"inputCol": "b", "outputCol": "X", "handleInvalid": "keep", "dropLast": True}
    folder = pipeline(
        tmp_path / "p",
        ("feature.Bucketizer", {"inputCol": "x", "outputCol": "b", **split}),
        ("feature.OneHotEncoderModel", hot, {"categorySizes": [3]}),
    )
    got = model(pi.Schema.from_spark(folder), X=3).run({"x": [-1.0, 1.5, np.nan]})["X out"]
    assert got.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_raw_ids_spread_over_columns(tmp_path: Path) -> None:
    hot = {"inputCol": "e", "outputCol": "X", "handleInvalid": "keep", "dropLast": False}
    stage(tmp_path / "s", "feature.OneHotEncoderModel", hot, {"categorySizes": [2]})
    made = model(pi.Schema.from_spark(tmp_path / "s"), X=3)
    assert made.run({"e": [0, 1, 2, 9]})["X out"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    with pytest.raises(InputError, match=r"field 'e'.*row 1"):
        made.run({"e": [0, None]})


@pytest.mark.once
def test_a_fraction_that_fills_a_column_of_unknown_type(tmp_path: Path) -> None:
    filled = {"inputCols": ["x"], "outputCols": ["y"]}
    stage(tmp_path / "s", "feature.ImputerModel", filled, {"x": 4.5})
    with pytest.raises(SchemaError, match=r"fills 'x' with a fraction.*'number' or 'integer'"):
        pi.Schema.from_spark(tmp_path / "s")
    for kind, value in (("number", 4.5), ("integer", 4)):
        (field,) = pi.Schema.from_spark(tmp_path / "s", dtypes={"x": kind}).fields  # type: ignore[dict-item]
        assert (field.dtype, field.default) == (kind, value)
    stage(tmp_path / "s", "feature.ImputerModel", {**filled, "strategy": "median"}, {"x": 4.5})
    assert pi.Schema.from_spark(tmp_path / "s").fields[0].default == 4.5


@pytest.mark.once
def test_what_a_later_stage_reads_feeds_an_input_too(tmp_path: Path) -> None:
    folder = pipeline(
        tmp_path / "p",
        ("feature.StringIndexerModel", {"inputCol": "city", "outputCol": "c"}, {"labels": ["a", "b"]}),
        ("feature.OneHotEncoderModel", {"inputCol": "c", "outputCol": "h"}, {"categorySizes": [2]}),
    )

    def targets(**to: str) -> list[Any]:
        schema = pi.Schema.from_spark(folder, to=to)
        return [target for one in (*schema.fields, *schema.combinations) for target in one.to]

    assert targets() == [("h", 0)]
    assert targets(c="city id", h="X") == ["city id", ("X", 0)]
    for argument, there in (("to", "c, h"), ("sides", "city"), ("dtypes", "city")):
        with pytest.raises(
            SchemaError, match=f"{argument}: there is no column 'x', expected some of {there}"
        ):
            pi.Schema.from_spark(folder, **{argument: {"x": "string"}})


@pytest.mark.once
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4"])
def test_files_of_spark_4(tmp_path: Path, codec: str) -> None:
    folder = whole(tmp_path / "p")
    schema = pi.Schema.from_spark(folder, dtypes={"zip": "integer"})
    for text in list(folder.rglob("part-00000")):
        text.rename(text.with_name("part-00000-e2003f8e-c000.txt"))
    for path in list(folder.rglob("*.snappy.parquet")):
        table = parquet.read_table(path)
        path.unlink()
        parquet.write_table(
            table,
            path.with_name(f"part-00000-3a-c000.{codec}.parquet"),
            compression=codec,
            data_page_version="2.0",
        )
    assert pi.Schema.from_spark(folder, dtypes={"zip": "integer"}) == schema


SCALERS: dict[str, tuple[dict[str, Any], dict[str, Any], list[list[float]]]] = {
    "MinMaxScalerModel": (
        {"min": -1.0, "max": 3.0},
        {"originalMin": vector(2.0, 5.0), "originalMax": vector(6.0, 5.0)},
        [[-1, 1], [3, 1]],
    ),
    "MaxAbsScalerModel": ({}, {"maxAbs": vector(4.0, 0.0)}, [[0.5, 5], [1.5, 7]]),
    "RobustScalerModel": (
        {"withCentering": True, "withScaling": True},
        {"range": vector(2.0, 0.0), "median": vector(4.0, 1.0)},
        [[-1, 0], [1, 0]],
    ),
    "StandardScalerModel": ({}, {"std": vector(2.0, 4.0), "mean": vector(9.0, 9.0)}, [[1, 1.25], [3, 1.75]]),
}


@pytest.mark.parametrize("kind", SCALERS)
def test_scalers(tmp_path: Path, kind: str) -> None:
    params, data, expected = SCALERS[kind]
    folder = pipeline(
        tmp_path / "p",
        ("feature.VectorAssembler", {"inputCols": ["a", "b"], "outputCol": "v"}),
        (f"feature.{kind}", {"inputCol": "v", "outputCol": "X", **params}, data),
    )
    made = model(pi.Schema.from_spark(folder), X=2).run({"a": [2, 6], "b": [5, 7]})["X out"]
    np.testing.assert_allclose(made, np.float32(expected), rtol=1e-6)


def test_words_are_counted_as_a_count_vectorizer_does() -> None:
    words = ["u", "w", "v"]
    transforms = [features.Vocabulary(words, oov_last=True), features.Counts(len(words))]
    field = features.ListField("tags", "item", "X", transforms=transforms, length=9, most=9)
    rows = {"tags": [["u", "v", "u"], ["unknown"], [], ["w", "unknown", "w"]]}
    got = model(pi.Schema([field]), X=3).run(rows)["X out"]
    assert got.tolist() == [[2, 0, 1], [0, 0, 0], [0, 0, 0], [0, 2, 0]]


@pytest.mark.once
@pytest.mark.parametrize("sources", [["a"], ["a", "b", "c"]])
def test_vectors_of_other_columns_are_refused(tmp_path: Path, sources: list[str]) -> None:
    folder = pipeline(
        tmp_path / "p",
        ("feature.VectorAssembler", {"inputCols": sources, "outputCol": "v"}),
        ("feature.MaxAbsScalerModel", {"inputCol": "v", "outputCol": "X"}, {"maxAbs": vector(4.0, 2.0)}),
    )
    with pytest.raises(
        SchemaError, match=f"maxAbs: expected {len(sources)} numbers as of its columns, got 2"
    ):
        pi.Schema.from_spark(folder)


HOSTILE: dict[str, Any] = {
    "no JSON": lambda f: (f / "metadata" / "part-00000").write_text("{"),
    "depth": lambda f: (f / "metadata" / "part-00000").write_text("[" * 9999),
    "a name twice": lambda f: (f / "metadata" / "part-00000").write_text('{"class": "a", "class": "b"}'),
    "no class": lambda f: (f / "metadata" / "part-00000").write_text('{"class": 7}'),
    "no metadata": lambda f: (f / "metadata" / "part-00000").unlink(),
    "an unknown stage": lambda f: stage(f, "feature.Word2VecModel", CITY[1]),
    "no columns": lambda f: stage(f, CITY[0], {"inputCol": "city", "outputCol": 3}),
    "no labels": lambda f: stage(f, CITY[0], CITY[1], {"other": ["a"]}),
    "labels that are none": lambda f: stage(f, CITY[0], CITY[1], {"labels": [1, 2]}),
    "a label twice": lambda f: stage(f, CITY[0], CITY[1], {"labels": ["secret", "secret"]}),
    "no Parquet": lambda f: next((f / "data").glob("*.parquet")).write_bytes(b"no"),
    "no data": lambda f: next((f / "data").glob("*.parquet")).unlink(),
    "a choice": lambda f: stage(f, CITY[0], {**CITY[1], "handleInvalid": 7}, {"labels": ["a"]}),
    "sizes": lambda f: stage(f, "feature.OneHotEncoderModel", CITY[1], {"categorySizes": [-1]}),
    "splits": lambda f: stage(f, "feature.Bucketizer", {**CITY[1], "splits": ["a", 1, 2]}),
    "splits in disorder": lambda f: stage(f, "feature.Bucketizer", {**CITY[1], "splits": [3.0, 2.0, 1.0]}),
    "a vector": lambda f: stage(
        f, "feature.MaxAbsScalerModel", CITY[1], {"maxAbs": {**sparse(1, p0=1.0), "indices": [5]}}
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_stages_are_refused(tmp_path: Path, name: str) -> None:
    stage(tmp_path / "s", *CITY, {"labels": ["secret"]})
    HOSTILE[name](tmp_path / "s")
    with pytest.raises(SchemaError) as told:
        pi.Schema.from_spark(tmp_path / "s")
    assert "secret" not in str(told.value)


@pytest.mark.once
def test_pipelines_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = whole(tmp_path / "p")
    (folder / "stages" / "0_StringIndexerModel_0").rename(folder / "stages" / "0_Other")
    with pytest.raises(SchemaError, match="stages: expected a folder for each"):
        pi.Schema.from_spark(folder)
    with pytest.raises(SchemaError, match="stages that make features"):
        pi.Schema.from_spark(pipeline(tmp_path / "q", ("classification.LinearSVCModel", {})))
    looped = tmp_path / "loop"
    stage(looped, "PipelineModel", {"stageUids": ["loop"]})
    (looped / "stages").mkdir()
    (looped / "stages" / "0_loop").symlink_to(looped)
    with pytest.raises(SchemaError):
        pi.Schema.from_spark(looped)
