"""Files of at most so many rows: Parquet of plain strings and lists, or JSON arrays; bytes depend on rows alone."""

import io
from pathlib import Path
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from factory.files.streaming import compact
from factory.readers.cells.values import text_of
from factory.readers.messages import PolarsType

SLICE = 2_000
"""Rows that are made Arrow at once: what fits 32-bit string offsets."""
ROW_GROUP, GROUP_BYTES = 20_000, 64 << 20
"""Rows, or bytes before compression, after which a Parquet row group is full: what a reader holds at least. Where a
group begins, the pages of an earlier export cannot be found again, so that groups are not small."""

PAGES = {"min_chunk_size": 64 << 10, "max_chunk_size": 256 << 10, "norm_level": 0}
"""Bytes of a page before compression: a quarter of pyarrow's default, near what the Hub cuts files into."""


def arrow_type(kind: pa.DataType) -> pa.DataType:
    """The Arrow type with 32-bit offsets, which is what Hub data sets are made of and concatenate with."""
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(arrow_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, arrow_type(field.type)) for field in kind])
    return kind


def arrow(rows: pl.DataFrame) -> pa.Table:
    """`rows` as an Arrow table of plain types."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(pa.schema([pa.field(field.name, arrow_type(field.type)) for field in table.schema]))


class _Held:
    """What pyarrow writes, in memory until it is taken.

    Where an error of the disk comes to pyarrow while it parts pages by their content, it ends the process (a failed
    check in its column_writer.cc): of a full disk nobody would be told.
    """

    closed = False

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self.data += data
        return len(data)

    def flush(self) -> None:
        """Nothing to hand on."""


class ParquetSink:
    """One Parquet file, written a row group at a time.

    Pages end where their content says (content-defined chunking), so that a store which keeps equal pieces once, as the
    Hub does, is sent little when rows were dropped or added.
    """

    def __init__(self, path: Path, schema: pl.Schema) -> None:
        self._buffer = pl.DataFrame(schema=schema)
        self._group: list[pa.Table] = []
        kinds = arrow(self._buffer).schema
        self._file, self._held = path.open("wb"), _Held()
        chunks = dict(PAGES)
        self._writer = pq.ParquetWriter(self._held, kinds, compression="zstd", use_content_defined_chunking=chunks)

    def write(self, rows: pl.DataFrame) -> None:
        """Append rows; full row groups go to disk."""
        # Copied: the few rows of a small split would hold all that was read with them until a group of them is full.
        self._buffer = pl.concat([self._buffer, compact(rows.lazy()).collect()])
        while self._buffer.height >= SLICE:
            self._group.append(arrow(self._buffer.head(SLICE)))
            self._buffer = self._buffer.slice(SLICE)
            if len(self._group) * SLICE >= ROW_GROUP or sum(part.nbytes for part in self._group) >= GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        group, self._group = pa.concat_tables(self._group), []
        # One group: pyarrow would otherwise part it at its own million rows, or, of no rows, refuse the size 0.
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._to_disk()

    def _to_disk(self) -> None:
        self._file.write(self._held.data)
        self._held.data.clear()

    def close(self) -> None:
        """Write the last row group and the footer."""
        if self._buffer.height:
            self._group.append(arrow(self._buffer))
        if self._group:
            self._flush()
        self._writer.close()
        self._to_disk()
        self._file.close()


class JsonSink:
    """One JSON array, a row a line."""

    def __init__(self, path: Path, schema: pl.Schema) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._before = b"[\n"

    def write(self, rows: pl.DataFrame) -> None:
        """Append rows."""
        lines = io.BytesIO()
        rows.write_ndjson(lines)
        # Bytes part at line ends alone, which JSON escapes within a text; a str would part at U+2028 as well.
        for line in lines.getvalue().splitlines():
            self._file.write(self._before + line)
            self._before = b",\n"

    def close(self) -> None:
        """End the array."""
        self._file.write(b"\n]\n")
        self._file.close()


class Shards:
    """The files of one split, filled one after the other."""

    def __init__(self, folder: Path, split: str, shard_rows: int, schema: pl.Schema, *, json: bool) -> None:
        self._folder, self._split, self._size, self._schema = folder, split, shard_rows, schema
        self._sink_type: type[ParquetSink | JsonSink] = JsonSink if json else ParquetSink
        self._sink: ParquetSink | JsonSink | None = None
        self._room = self.rows = 0
        self.paths: list[Path] = []

    def write(self, rows: pl.DataFrame) -> None:
        """Append rows, opening files as they fill."""
        self.rows += rows.height
        while rows.height:
            if self._sink is None or not self._room:
                self.close()
                self.paths.append(self._folder / f"{self._split}-{len(self.paths):05d}")
                self._sink, self._room = self._sink_type(self.paths[-1], self._schema), self._size
            part, rows = rows.head(self._room), rows.slice(self._room)
            self._room -= part.height
            self._sink.write(part)

    def close(self) -> None:
        """Finish the open file, if any."""
        if self._sink is not None:
            self._sink.close()
        self._sink = None


def json_columns(rows: pl.LazyFrame) -> pl.LazyFrame:
    """`rows` with whole numbers in 64 bits, empty columns as text, and as text what is no text, number or list of them.

    Bytes are written as hexadecimal digits, objects as JSON.
    """
    kinds = [(name, dtype, _kind(dtype)) for name, dtype in rows.collect_schema().items()]
    return rows.select(
        (text_of(name, dtype) if kind is None else pl.col(name).cast(kind)).alias(name) for name, dtype, kind in kinds
    )


def _kind(dtype: PolarsType) -> PolarsType | None:
    """The type that a column is cast to; None for one that becomes a text."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = _kind(dtype.inner)
        return None if inner is None else pl.List(inner)
    if dtype == pl.Null:
        return pl.String()
    if dtype in (pl.String, pl.Int64, pl.Float64, pl.Boolean):
        return dtype
    if dtype.is_float():
        return pl.Float64()
    # What 64 bits with a sign do not hold goes as text, digit by digit.
    return pl.Int64() if dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128, pl.UInt128) else None
