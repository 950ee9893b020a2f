"""The log that ctrkit makes itself."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Entry

SYNTHETIC = Entry(
    name="synthetic",
    title="Synthetic ad log",
    summary="Made on the spot, any size, and its best reachable AUC is known: clicks drawn from true probabilities.",
    rows="as many as data.build.rows says (300,000)",
    label="clicked",
    splits="none; rows are held out by time",
    licence="CC0: nobody's data",
    citation="",
    homepage="",
    download="nothing to fetch",
    files=(),
    columns="see conf/schema/synthetic.yaml",
)
