#!/usr/bin/env python3
"""Reads every table of a lake with the Python package `deltalake`, as an outside reader would.

Prints one JSON line per dataset: its rows (counted from the data files, not from statistics), the types of its
columns, the number of distinct delivery ids and, with --sample, its first rows.

    pip install deltalake pyarrow
    read_lake.py /var/lib/civilhub/lake [--sample 5]
"""

import argparse
import json
import os
import pathlib
import sys

from deltalake import DeltaTable


def read(folder: pathlib.Path, sample: int) -> dict:
    table = DeltaTable(str(folder))
    rows = table.to_pyarrow_table()
    return {
        "dataset": folder.name,
        "version": table.version(),
        "rows": rows.num_rows,
        "deliveries": len(set(rows.column("delivery_id").to_pylist())),
        "types": {field.name: str(field.type) for field in rows.schema},
        "sample": rows.slice(0, sample).to_pylist(),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("root", type=pathlib.Path)
    arguments.add_argument("--sample", type=int, default=0)
    options = arguments.parse_args()
    for log in sorted(options.root.glob("*/_delta_log")):
        print(json.dumps(read(log.parent, options.sample), ensure_ascii=False, default=str))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # The libraries' threads are still there when the interpreter takes itself apart, and now and then abort it.
    os._exit(0)
