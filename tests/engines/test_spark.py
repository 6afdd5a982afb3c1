"""Posts of a DataFrame are annotated by a real Spark on this machine."""

import json
import os
import shutil
import sys

import pytest

from .conftest import expect

pytest.importorskip("pyspark", reason="pyspark is not installed")

pytestmark = [
    pytest.mark.spark,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]

SCHEMA = "text string, words array<string>, image binary, number bigint, spans string"


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.driver.host", "127.0.0.1")
    # A batch of Arrow holds so many rows. Pictures make rows large.
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "50")
    options = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    session = builder.config("spark.driver.extraJavaOptions", options).getOrCreate()
    yield session
    session.stop()


def test_posts_of_a_frame_are_annotated_and_keep_their_columns(spark, engine, rows):
    from spacy_msvse.spark import annotate_frames, annotated_schema

    values = [(r["text"], r["words"], r["image"], r["number"], "of an earlier run") for r in rows]
    frame = spark.createDataFrame(values, SCHEMA).repartition(2, "number")
    schema = annotated_schema(frame.schema)
    assert schema == (
        "`words` array<string>, `image` binary, `number` bigint, `text` string, `spans` "
        "array<struct<start:bigint,end:bigint,label:string,score:double>>, `error` string"
    )
    annotated = frame.mapInPandas(annotate_frames(**engine), schema)
    found = [row.asDict(recursive=True) for row in annotated.orderBy("number").collect()]
    expect(rows, found)
    for row, one in zip(rows, found, strict=True):
        assert (one["number"], one["words"]) == (row["number"], row["words"])
        assert (one["image"] and bytes(one["image"])) == row["image"]
    assert json.loads(annotated.schema.json())["fields"][4]["name"] == "spans"


def test_a_pipeline_that_does_not_exist_is_named_in_the_error(spark):
    from pyspark.errors import PythonException

    from spacy_msvse.spark import annotate_frames, annotated_schema

    frame = spark.createDataFrame([("saw jordan",)], "text string")
    with pytest.raises(PythonException, match="MSVSE-E076"):
        frame.mapInPandas(annotate_frames("en_none"), annotated_schema(frame.schema)).collect()
