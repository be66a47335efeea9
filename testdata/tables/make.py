"""Rewrites a table of `treeline features` as other programs do, metadata kept: `make.py TABLE FOLDER` writes one file a codec, 40 rows each.

    pip install pyarrow==26.0.1
    treeline features testdata/captures/lab-portscan.pcap --labels testdata/labels/lab.csv -o rows.parquet
    python testdata/tables/make.py rows.parquet testdata/tables

without-midstream.parquet is a file of before the column of that name.
"""

import sys

import pyarrow.parquet as parquet

table = parquet.read_table(sys.argv[1]).slice(0, 40)
for codec in ("none", "snappy", "gzip", "lz4", "zstd"):
    parquet.write_table(table, f"{sys.argv[2]}/pyarrow-{codec}.parquet", compression=codec)
