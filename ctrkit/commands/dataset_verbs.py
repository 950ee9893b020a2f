"""What the verbs about data sets and records are for and how they are used."""

from __future__ import annotations

from ctrkit.commands.verb import WHERE, Verb

DATASETS = Verb(
    name="datasets",
    summary="public click logs: what there is, where to get it, build it",
    text=(
        "Criteo, Avazu, MovieLens, KDD Cup 2012, MIND, Taobao and others: their files, licences and citations, a\n"
        "schema and an experiment for each. Nothing is downloaded: most ask you to accept terms first."
    ),
    examples=(
        "ctrkit datasets list",
        "ctrkit datasets info avazu",
        "ctrkit datasets build avazu data.manual_dir=downloads/avazu",
    ),
    verbs=(
        Verb(
            name="datasets list",
            summary="the catalogue, a line each",
            text="Names, titles and sizes as published.",
            examples=("ctrkit datasets list",),
            groups=(),
            plain=True,
        ),
        Verb(
            name="datasets info",
            summary="one data set: files, columns, splits, licence, citation, where to download",
            text="With a folder it says which of the files are there.",
            examples=("ctrkit datasets info mind", "ctrkit datasets info mind data.manual_dir=downloads/mind"),
            keys={"NAME": "as `ctrkit datasets list` has it", "data.manual_dir=FOLDER": "look there for the files"},
            groups=(),
            plain=True,
        ),
        Verb(
            name="datasets build",
            summary="downloaded files -> index and records, which tensorflow-datasets loads too",
            text=(
                "Joins the files in bounded memory, then prepares them as `ctrkit prepare` does; a file that is\n"
                "absent is named, with where to get it. tfds.builder_from_directory loads the folder of records:\n"
                "an example is a block of rows, which ctrkit.records.decode_block turns into tensors. SHA-256 of\n"
                "the files are written to work_dir/sources.json at the first build and compared from then on."
            ),
            examples=(
                "ctrkit datasets build movielens_20m data.manual_dir=downloads",
                "ctrkit datasets build open_bandit data.manual_dir=downloads data.build.policy=bts layout=rows",
            ),
            keys={
                "NAME": "as `ctrkit datasets list` has it",
                "data.manual_dir=FOLDER": "where the unpacked files lie",
                "layout=blocks|rows": "rows: write work_dir/rows too, an example a row with a named feature a column",
                "data.build.KEY=VALUE": "what the data set can be asked for; see conf/data/NAME.yaml",
                **WHERE,
            },
            groups=(),
            plain=True,
        ),
    ),
    groups=(),
)
RECORDS = Verb(
    name="records",
    summary="records for other tools",
    text="Row-wise tf.Examples with named features, as other trainers and tensorflow-datasets read them.",
    examples=("ctrkit records export experiment=criteo out=rows/criteo",),
    verbs=(
        Verb(
            name="records export",
            summary="records -> one tf.Example a row, one named int64 feature for each feature of the index",
            text=(
                "Features are rows of the index (a sequence has max_length of them, 0 behind the last), beside label,\n"
                "weight and group. ctrkit.records.import_records reads them back to the bit. Reading rows one by one\n"
                "is ten and more times slower than blocks: train on these only where you must."
            ),
            examples=(
                "ctrkit records export experiment=criteo out=rows/criteo",
                "ctrkit records export experiment=criteo part=test",
            ),
            keys={
                **WHERE,
                "out=FOLDER": "where to (work_dir/rows)",
                "part=train|validation|test|all": "which of the records (all)",
            },
            plain=True,
        ),
    ),
    groups=(),
)
