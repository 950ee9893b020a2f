"""TensorFlow Serving's batching parameters file: read whole, or refused with the parameter named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.errors import ConfigError
from ctrkit.serving.batching import BatchingOptions


def read(tmp_path: Path, text: str) -> BatchingOptions:
    path = tmp_path / "batching.txt"
    path.write_text(text)
    return BatchingOptions.read(path)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    options = read(
        tmp_path,
        "# as deployed\nmax_batch_size { value: 64 }\nbatch_timeout_micros { value: 0 }\n"
        "max_enqueued_batches { value: 3 }\nnum_batch_threads { value: 2 }\nthread_pool_name { value: 'ctr' }\n"
        "allowed_batch_sizes: [8, 64]\npad_variable_length_inputs: true",
    )
    assert options == BatchingOptions(
        max_batch_size=64,
        batch_timeout_micros=0,
        max_enqueued_batches=3,
        num_batch_threads=2,
        allowed_batch_sizes=(8, 64),
        pad_variable_length_inputs=True,
    )


def test_what_is_left_out_has_tensorflow_servings_defaults(tmp_path: Path) -> None:
    options = read(tmp_path, "")
    assert (options.max_batch_size, options.batch_timeout_micros, options.max_enqueued_batches) == (1000, 0, 10)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_batch_size { value: 0 }", "`max_batch_size` is 0, expected at least 1"),
        ("max_batch_size: 5", r"batching\.txt: .*Expected TensorFlow Serving's parameters, e\.g\. max_batch_size \{"),
        ("max_batchsize { value: 5 }", r"no field named .max_batchsize"),
        ("num_batch_threads { value: -1 }", "`num_batch_threads` is -1"),
        ("allowed_batch_sizes: [8, 64]", r"last of `allowed_batch_sizes` is 64, expected `max_batch_size`, 1000"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [8, 4, 8]", r"is \[8, 4, 8\], expected sizes .* that rise"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(tmp_path, text)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the batching parameters: .*none\.txt"):
        BatchingOptions.read(tmp_path / "none.txt")
