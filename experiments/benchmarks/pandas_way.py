"""Prepare a Criteo-shaped log as DeepCTR documents it: pandas, scikit-learn's encoders, one tf.Example a row.

    python experiments/benchmarks/pandas_way.py LOG.csv FOLDER

Missing categories become '-1', missing numbers 0; LabelEncoder on each category, MinMaxScaler on the numbers; then the
rows are written with named features by a TFRecordWriter, as its Estimator models read them. Prints one line of JSON.
Imports are not counted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

DENSE, SPARSE = [f"I{k}" for k in range(1, 14)], [f"C{k}" for k in range(1, 27)]


def main() -> None:
    log, folder = Path(sys.argv[1]), Path(sys.argv[2])
    import pandas as pd
    import tensorflow as tf
    from sklearn.preprocessing import LabelEncoder, MinMaxScaler

    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    data = pd.read_csv(log)
    data[SPARSE] = data[SPARSE].fillna("-1")
    data[DENSE] = data[DENSE].fillna(0)
    for name in SPARSE:
        data[name] = LabelEncoder().fit_transform(data[name])
    data[DENSE] = MinMaxScaler(feature_range=(0, 1)).fit_transform(data[DENSE])
    encoded = time.perf_counter() - began

    int64, floats, feature = tf.train.Int64List, tf.train.FloatList, tf.train.Feature
    with tf.io.TFRecordWriter(str(folder / "train.tfrecord")) as writer:
        columns = {name: data[name].tolist() for name in ["label", *DENSE, *SPARSE]}
        for row in zip(*columns.values(), strict=True):
            named = dict(zip(columns, row, strict=True))
            features = {name: feature(int64_list=int64(value=[named[name]])) for name in SPARSE}
            features |= {name: feature(float_list=floats(value=[named[name]])) for name in [*DENSE, "label"]}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    seconds = time.perf_counter() - began
    size = (folder / "train.tfrecord").stat().st_size
    print(json.dumps({"seconds": seconds, "encoded_seconds": encoded, "bytes_written": size}))


if __name__ == "__main__":
    main()
