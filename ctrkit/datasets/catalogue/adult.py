"""Adult (Census Income)."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Archive, Entry, SourceFile

ADULT = Entry(
    name="adult",
    title="Adult (Census Income, UCI)",
    summary="Who earns more than 50,000 dollars a year? The table that Wide & Deep is taught on: one row a person.",
    rows="48,842: 32,561 for training, 16,281 for test",
    label="income == '>50K'",
    splits="adult.data for training and adult.test for test, kept as published; the last tenth of training validates",
    licence="CC BY 4.0",
    citation="""@misc{adult_2,
  author = {Becker, Barry and Kohavi, Ronny},
  title = {{Adult}},
  year = {1996},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C5XW20}
}""",
    homepage="https://archive.ics.uci.edu/dataset/2/adult",
    download="fetch adult.zip from the home page and unpack it",
    files=(
        SourceFile(
            names=("adult.data",),
            what="comma-separated without a header, '?' where missing: the training rows",
        ),
        SourceFile(
            names=("adult.test",),
            what="the test rows; a first line that is no row, labels that end in a dot",
        ),
    ),
    columns=(
        "age, workclass, fnlwgt, education, education_num, marital_status, occupation, relationship, race, sex, "
        "capital_gain, capital_loss, hours_per_week, native_country, income"
    ),
    archives=(Archive(name="adult.zip", url="https://archive.ics.uci.edu/static/public/2/adult.zip"),),
)
