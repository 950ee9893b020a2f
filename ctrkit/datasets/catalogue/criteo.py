"""Criteo's display advertising challenge."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Entry, SourceFile

CRITEO = Entry(
    name="criteo",
    title="Criteo Display Advertising Challenge (Kaggle 2014)",
    summary="Display ads over seven days: 13 counts, 26 hashed categories; clicks and non-clicks subsampled.",
    rows="45,840,617 with labels; the challenge's test file, of the day after, has none",
    label="label",
    splits="train and test by time; the test file has no labels, so that the last rows of train are held out, by order",
    licence="Criteo's terms, accepted at the download: research, no redistribution",
    citation="""@misc{criteo-display-ad-challenge,
  author = {Tien, Jean-Baptiste and joycenv and Chapelle, Olivier},
  title = {Display Advertising Challenge},
  year = {2014},
  howpublished = {Kaggle},
  url = {https://kaggle.com/competitions/criteo-display-ad-challenge}
}""",
    homepage="https://www.kaggle.com/c/criteo-display-ad-challenge",
    download="accept the terms at https://ailab.criteo.com/ressources/, fetch the Kaggle challenge's data, unpack it",
    files=(
        SourceFile(
            names=("train.tsv", "train.txt", "day_0"),
            what="tab-separated without a header, in order of time, an empty field where missing",
        ),
    ),
    columns="label, I1 to I13 (integers), C1 to C26 (32-bit hashes in hexadecimal)",
)
