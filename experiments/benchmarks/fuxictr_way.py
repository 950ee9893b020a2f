"""Prepare a Criteo-shaped log by FuxiCTR's own classes; run with the interpreter of an environment that has fuxictr.

    /tmp/fuxi/bin/python experiments/benchmarks/fuxictr_way.py LOG.csv FOLDER

As its demos do: a FeatureProcessor over the columns of a CSV file with a line of names, then `build_dataset`, which
fits it and writes Parquet through Ray. Prints one line of JSON. Imports are not counted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

COLUMNS = [f"I{k}" for k in range(1, 14)], [f"C{k}" for k in range(1, 27)]


def main() -> None:
    log, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    import polars
    import ray.data  # noqa: F401
    from fuxictr.preprocess import FeatureProcessor
    from fuxictr.preprocess.build_dataset import build_dataset

    dense, sparse = COLUMNS
    shared = {"active": True}
    features = [
        {"name": dense, "dtype": "float", "type": "numeric", "normalizer": "MinMaxScaler", "fill_na": 0.0, **shared},
        {"name": sparse, "dtype": "str", "type": "categorical", "fill_na": "", **shared},
    ]
    label = {"name": "label", "dtype": "float"}
    scan_csv = polars.scan_csv

    def scan(*arguments: object, **options: object) -> polars.LazyFrame:
        """What fuxictr 2.3 calls `dtypes` has another name since polars 1."""
        if "dtypes" in options:
            options["schema_overrides"] = options.pop("dtypes")
        return scan_csv(*arguments, **options)

    polars.scan_csv = scan
    began = time.perf_counter()
    encoder = FeatureProcessor(feature_cols=features, label_col=label, dataset_id="criteo", data_root=str(folder))
    build_dataset(encoder, train_data=str(log), min_categr_count=4)
    seconds = time.perf_counter() - began
    written = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    print(json.dumps({"seconds": seconds, "bytes_written": written}))


if __name__ == "__main__":
    main()
