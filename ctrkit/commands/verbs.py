"""What each verb is for and how it is used: plain text, so that help answers at once."""

from __future__ import annotations

from ctrkit.commands.cluster_verbs import CLUSTER
from ctrkit.commands.dataset_verbs import DATASETS, RECORDS
from ctrkit.commands.doctor_verbs import DOCTOR
from ctrkit.commands.judging_verbs import JUDGING
from ctrkit.commands.project_verbs import CONFIG, NEW, SCHEMA
from ctrkit.commands.promotion_verbs import PROMOTE, ROLLBACK
from ctrkit.commands.tuning_verbs import TUNE
from ctrkit.commands.verb import RUN, WHERE, Verb

# Words that hand the command line to Hydra itself.
HYDRA_FLAGS = (
    "-m",
    "--multirun",
    "-c",
    "--cfg",
    "--resolve",
    "--info",
    "-i",
    "-p",
    "--package",
    "--hydra-help",
    "-cd",
    "--config-dir",
)
VALUED_FLAGS = ("-c", "--cfg", "-i", "--info", "-p", "--package", "-cd", "--config-dir")  # A word of their own follows.

# The order and the headings of `ctrkit --help`; a verb that stands nowhere comes last.
SECTIONS = {
    "begin": ("quickstart", "new", "schema", "datasets", "config"),
    "learn": ("doctor", "prepare", "records", "train", "cluster", "tune"),
    "judge": ("evaluate", "card", "compare", "rerun", "upload"),
    "serve": ("export", "verify", "promote", "rollback", "serve", "rank", "serving-config"),
}
MORE = "more"

_ALL = (
    NEW,
    CONFIG,
    SCHEMA,
    DATASETS,
    RECORDS,
    Verb(
        name="quickstart",
        summary="the whole way once, on an ad log made on the spot: about two minutes",
        text=(
            "Makes an ad log whose best AUC is known, builds the feature index, writes records, trains Wide & Deep,\n"
            "logs the run to MLflow, exports and verifies a SavedModel, serves it, and ranks 100 ads over gRPC."
        ),
        examples=("ctrkit quickstart", "ctrkit quickstart data.build.rows=1000000 model=dcn_v2"),
        keys={
            "data.build.rows=N": "rows of the log (300,000)",
            "model=NAME": "a model of the zoo",
            "work_dir=DIR": "where everything goes (artifacts/quickstart)",
        },
        groups=("model",),
        defaults=("experiment=quickstart",),
    ),
    DOCTOR,
    Verb(
        name="prepare",
        summary="raw log -> feature index and records",
        text=(
            "Reads the log once in bounded memory, splits it, learns the feature index from the training part alone\n"
            "and writes TFRecord shards. Run again with the same inputs it has nothing to do; killed, it goes on\n"
            "where it was (on Spark it begins anew). A row that does not fit the schema is an error that names\n"
            "file, line and column, or is left out and counted; a file that cannot be read whole is an error."
        ),
        examples=(
            "ctrkit prepare experiment=criteo data.path=train.tsv.gz",
            "ctrkit prepare schema=my_schema data=files data.path='logs/*.csv' data.split.by=time name=mine",
            "ctrkit prepare experiment=mine data.path='logs/today.csv' --extend",
            "ctrkit prepare experiment=mine data.table=ads.clicks data.engine=spark",
        ),
        keys={
            **WHERE,
            "data.path=FILES": "a file, a list, or a pattern; TSV, CSV (also .gz) or Parquet",
            "data.split.by=random|time|order": "which rows are held out",
            "data.split.validation=SHARE": "share of rows for early stopping",
            "data.split.test=SHARE": "share of rows for the final figure",
            "data.bad_rows=fail|skip": "rows that do not fit the schema; records/rejected.json tells of skipped ones",
            "data.max_bad_share=SHARE": "of rows that may be skipped (0.01); more of them are an error",
            "--extend, data.extend=INDEX": "append a later log's values to the index in work_dir, or in a folder",
            "data.engine=local|spark": "on this machine, or on Spark: the same index and records, byte for byte",
            "data.table=DB.TABLE": "with Spark: a table of its catalogue, such as Hive's, instead of data.path",
            "data.spark.master=URL": "e.g. spark://host:7077; else as spark-submit or spark-defaults.conf say",
            "data.spark.conf={…}": "Spark's own settings: 'data.spark.conf={spark.executor.memory: 8g}'",
            "force=true": "do it again from the start although nothing changed",
        },
        groups=("experiment", "schema", "data"),
        flags={"extend": "data.extend"},
        switches=("extend",),
    ),
    Verb(
        name="train",
        summary="records -> a trained model, tracked in MLflow",
        text=(
            "Prepares the log if that is not done, trains through tf.keras.estimator.model_to_estimator, evaluates\n"
            "while training and keeps the best and the last checkpoint. A run that was killed goes on where its\n"
            "last checkpoint was; a finished one is left alone and a new run starts."
        ),
        examples=(
            "ctrkit train experiment=criteo data.path=train.tsv.gz training.max_steps=500",
            "ctrkit train experiment=criteo model=dcn_v2 training.batch_size=8192 training.epochs=2",
            "ctrkit train experiment=criteo model._target_=my_project.models.my_model",
        ),
        keys={
            **WHERE,
            "model=NAME": "a model of the zoo; model._target_=pkg.function for your own",
            "training=async_ps|sync_ps": "on parameter servers, where a scheduler sets TF_CONFIG",
            "training.batch_size=N": "rows per step",
            "training.epochs=N": "passes over the training part",
            "training.max_steps=N": "stop after so many steps",
            "training.warm_start=RUN": "start from a run's weights and slots, whose index may have been extended since",
            "run=NAME|new": "name the run, or start a new one beside an unfinished one",
            "seed=N": "the same seed gives the same numbers",
        },
        groups=("experiment", "model", "training", "data", "tracking"),
        flags={"extend": "data.extend"},
        switches=("extend",),
    ),
    CLUSTER,
    TUNE,
    Verb(
        name="evaluate",
        summary="a trained run on held-out rows: AUC, log loss, calibration, with plots",
        text="Scores a part of the records with the run's best weights; figures go to the run's folder and to MLflow.",
        examples=("ctrkit evaluate experiment=criteo", "ctrkit evaluate experiment=criteo part=validation"),
        keys={
            **WHERE,
            **RUN,
            "part=test|validation|train": "which rows (test)",
            "card.slices=[FEATURE,..]": "features whose values are judged one by one (those of at most 20 values)",
            "card.top=N": "values of a feature, the most frequent (8)",
        },
    ),
    *JUDGING,
    Verb(
        name="export",
        summary="a trained run -> a SavedModel with its index and warmup requests inside",
        text=(
            "Writes work_dir/runs/RUN/export/VERSION with signatures `serving_default` (packed ids), `rank` (user\n"
            "once, candidates many) and `named`, readable by TensorFlow Serving; logs it to MLflow as a model."
        ),
        examples=(
            "ctrkit export experiment=criteo",
            "ctrkit export experiment=criteo export.buckets=[1,100,500] export.xla=auto",
        ),
        keys={
            **WHERE,
            **RUN,
            "export.buckets=[N,..]": "batch sizes to warm up",
            "export.xla=auto|true|false": "compile the signatures; auto measures both here and keeps the faster",
            "deployment.with_export=true": "write TensorFlow Serving's files too, as serving-config does",
        },
        groups=("experiment", "export"),
    ),
    Verb(
        name="serving-config",
        summary="files to deploy the latest export on the real TensorFlow Serving",
        text=(
            "Writes work_dir/runs/RUN/deployment: models.config, batching.config, monitoring.config,\n"
            "docker-compose.yml and kubernetes.yaml, every flag with its reason. A file that was changed by hand is\n"
            "left alone."
        ),
        examples=(
            "ctrkit serving-config experiment=criteo",
            "ctrkit serving-config experiment=criteo deployment.replicas=4 deployment.store=gs://bucket/models",
            "ctrkit serving-config experiment=criteo 'deployment.labels={stable:3,canary:4}' force=true",
        ),
        keys={
            **WHERE,
            **RUN,
            "deployment.image=NAME": "the container image; its tag is deployment.tag=TAG",
            "deployment.store=PLACE": "gs://… or a folder of models; by default the run's own exports",
            "deployment.replicas=N": "servers in Kubernetes; deployment.cpu=N and deployment.memory=2Gi for each",
            "deployment.claim=NAME": "the volume that holds the models, in deployment.namespace=NAME",
            "deployment.batching=true": "merge requests",
            "deployment.tls={..}": "encrypt the gRPC port: {certificate:FILE,key:FILE}",
            "force=true": "replace files that differ",
        },
        groups=("experiment", "deployment"),
    ),
    Verb(
        name="verify",
        summary="the same rows through Keras, the SavedModel and a live server: equal or fail",
        text="Replays real rows through every path and bounds the largest difference of two scores by 1e-5.",
        examples=("ctrkit verify experiment=criteo", "ctrkit verify experiment=criteo verify.rows=20000"),
        keys={**WHERE, **RUN, "verify.rows=N": "rows to replay (1,000); 0 for all", "part=test": "which rows"},
    ),
    PROMOTE,
    ROLLBACK,
    Verb(
        name="serve",
        summary="answer TensorFlow Serving's protocols on loopback: gRPC, REST, health, metrics",
        text=(
            "Starts the embedded server on the run's latest export; it is announced as available only when warm, and\n"
            "so is every export that the run gets later. Ctrl-C or SIGTERM ends it after the requests in flight.\n"
            "With models:/NAME@ALIAS it serves what the registry says: files are fetched and compared with their\n"
            "checksum, and when the alias moves the server follows, requests going on meanwhile. Versions of the\n"
            "registry are versions of the server. A registry that is down is a warning: the served version stays."
        ),
        examples=(
            "ctrkit serve experiment=criteo",
            "ctrkit serve models:/criteo@champion",
            "ctrkit serve experiment=criteo serving.port=0 serving.rest_port=0",
            "ctrkit serve experiment=criteo 'serving.labels={stable:3,canary:4}' serving.version_policy=specific:3,4",
            "ctrkit serve experiment=criteo 'serving.tls={certificate:server.pem,key:server.key}' serving.host=0.0.0.0",
        ),
        keys={
            **WHERE,
            "RUN, or models:/NAME@ALIAS": "what to serve, as run=RUN or serving.model=models:/..; models:/NAME/3 stays",
            "serving.registry_every=SECONDS": "look where the alias points (2.0)",
            "serving.port=N": "gRPC port (8500); 0 takes a free one",
            "serving.rest_port=N": "HTTP port (8501): REST and metrics; null opens none",
            "serving.host=ADDRESS": "127.0.0.1 unless told otherwise",
            "serving.tls={certificate:FILE,key:FILE}": "encrypt; client_authority:FILE asks clients for certificates",
            "serving.version_policy=latest|all|..": "latest:2 keeps two, specific:3,5 serves these",
            "serving.labels={stable:3}": "names for versions",
            "serving.model_config_file=FILE": "several models, as TensorFlow Serving lists them",
            "serving.poll_every=SECONDS": "look for new versions (1.0); null never",
            "serving.workers=N, .processes=N": "threads that answer requests, and processes behind the port",
            "serving.max_queue=N": "requests that may wait before others are refused",
            "serving.batching_parameters_file=FILE": "compute requests together",
        },
        groups=("experiment", "serving"),
        words={"": "run", "models:": "serving.model"},
    ),
    Verb(
        name="rank",
        summary="ask the server to rank ads for a user, from raw values",
        text=(
            "Indexes raw values by the SavedModel's own index and asks the server that `ctrkit serve` started.\n"
            "Without a request file it takes a user and ads from the log."
        ),
        examples=(
            "ctrkit rank experiment=criteo",
            "ctrkit rank models:/criteo@champion",
            "ctrkit rank experiment=criteo serving.request=request.json serving.target=127.0.0.1:8500",
        ),
        keys={
            **WHERE,
            "serving.request=FILE": 'JSON: {"user": {..}, "context": {..}, "ads": [{..}, ..]} of raw values by column',
            "serving.target=HOST:PORT": "a server; by default the one that `ctrkit serve` started",
            "serving.ads=N": "candidates taken from the log (100)",
            "serving.client_tls={authority: FILE}": "who signed the certificate of an encrypted server",
        },
        groups=("experiment", "serving"),
        words={"models:": "serving.model"},
    ),
)
VERBS: dict[str, Verb] = {verb.name: verb for verb in _ALL}


def sections() -> dict[str, list[Verb]]:
    """The verbs under the headings of the overview."""
    found = {title: [VERBS[name] for name in names if name in VERBS] for title, names in SECTIONS.items()}
    listed = {name for names in SECTIONS.values() for name in names}
    found[MORE] = [verb for name, verb in VERBS.items() if name not in listed]
    return {title: verbs for title, verbs in found.items() if verbs}
