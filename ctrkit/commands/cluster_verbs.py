"""What the verbs of `ctrkit cluster` are for and how they are used."""

from __future__ import annotations

from ctrkit.commands.verb import WHERE, Verb

_SIZE = {
    "cluster.ps=N": "parameter servers (2)",
    "cluster.workers=N": "tasks that train, the chief among them (2)",
    "cluster.placement=NAME": "balanced (ours), greedy (the classic one) or round_robin",
}
_MODE = {
    "training=async_ps|sync_ps": "asynchronous (the default), or synchronous",
    "cluster.backups=N": "synchronous: slowest gradients of a step that are not waited for",
    "cluster.evaluator=true|false": "evaluate in a task of its own, outside of the training cluster",
}

CLUSTER = Verb(
    name="cluster",
    summary="training on parameter servers: plan it, run it here, hand it to a scheduler",
    text=(
        "The same experiment as on one machine, by one override: training=async_ps or training=sync_ps. A scheduler\n"
        "that sets TF_CONFIG runs `ctrkit train …` in each task; `ctrkit cluster train` does so on this machine."
    ),
    examples=(
        "ctrkit cluster placement experiment=criteo cluster.ps=4",
        "ctrkit cluster train experiment=criteo cluster.ps=2 cluster.workers=3",
        "ctrkit cluster manifest experiment=criteo cluster.ps=8 cluster.workers=32",
    ),
    verbs=(
        Verb(
            name="cluster train",
            summary="a cluster of processes on this machine: chief, workers, parameter servers, evaluator",
            text=(
                "Starts every role as a process of its own, shows one screen of their state, speed and load, and\n"
                "starts again what dies. Ctrl-C or a failure ends them all and says which role failed first, and why."
            ),
            examples=(
                "ctrkit cluster train experiment=criteo cluster.ps=2 cluster.workers=3",
                "ctrkit cluster train experiment=criteo training=sync_ps cluster.workers=3 cluster.backups=1",
            ),
            keys={**WHERE, **_SIZE, **_MODE, "training.max_steps=N": "stop after so many steps"},
            groups=("experiment", "model", "training", "data", "cluster"),
            defaults=("training=async_ps",),
        ),
        Verb(
            name="cluster placement",
            summary="what each parameter server would hold and move, before anything starts",
            text=(
                "Prints each server's bytes (with optimizer slots) and traffic a step under round robin, the classic\n"
                "greedy strategy and ours, and which variables are split; draws work_dir/cluster/placement.png. The\n"
                "traffic comes from how often the log's values occur. Nothing is allocated, however large the tables."
            ),
            examples=(
                "ctrkit cluster placement experiment=criteo cluster.ps=4",
                "ctrkit cluster placement experiment=criteo model=dcn_v2 cluster.ps=64",
            ),
            keys={
                **WHERE,
                "cluster.ps=N": "parameter servers (2)",
                "model=NAME": "a model of the zoo; model._target_=pkg.function for your own",
                "training.batch_size=N": "rows a step, which the traffic depends on",
                "training.table_optimizer=NAME": "its slots lie beside the tables",
            },
            groups=("experiment", "model", "training", "data"),
        ),
        Verb(
            name="cluster manifest",
            summary="a Kubeflow TFJob, and a TF_CONFIG for each task of any other scheduler",
            text=(
                "Writes work_dir/cluster/tfjob.yaml for the Kubeflow Training Operator (kubectl apply -f), and\n"
                "work_dir/cluster/tf_config/TASK.json, the content of that task's TF_CONFIG. All tasks run\n"
                "`ctrkit train` with the words given here, on a volume that all of them can write."
            ),
            examples=(
                "ctrkit cluster manifest experiment=criteo cluster.ps=8 cluster.workers=32 manifest.image=my/ctrkit:1",
                "ctrkit cluster manifest experiment=criteo 'manifest.hosts=\"{role}{index}.example.org:2222\"'",
            ),
            keys={
                **WHERE,
                **_SIZE,
                **_MODE,
                "manifest.image=IMAGE": "a container image in which `ctrkit train` runs (ctrkit:latest)",
                "manifest.claim=NAME": "the volume claim that holds the prepared experiment (ctrkit-artifacts)",
                "manifest.resources.ROLE.cpu=N": "likewise .memory=16Gi; ROLE is chief, worker, ps or evaluator",
                "manifest.hosts=PATTERN": "host:port of a task, with {name}, {role}, {index}, {namespace}",
            },
            groups=("experiment", "model", "training", "data", "manifest"),
            defaults=("training=async_ps",),
        ),
    ),
)
