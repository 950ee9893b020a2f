"""What `ctrkit tune` is for and how it is used."""

from __future__ import annotations

from ctrkit.commands.verb import WHERE, Verb

TUNE = Verb(
    name="tune",
    summary="search for the values that make an experiment better; the winner becomes an experiment",
    text=(
        "Trains trial after trial on the training part and judges them on the validation part; test rows are never\n"
        "read. The first trial has the experiment's own values. Each is a nested run in MLflow. It ends with a table,\n"
        "a parallel-coordinates and an importance plot in work_dir/tuning/NAME, and conf/experiment/NAME_tuned.yaml.\n"
        "Killed, it goes on where it was when typed again; with a larger budget it goes on, too.\n"
        "\n"
        "A space maps keys of model and training to their values, in the experiment's file or on the command line:\n"
        "  tuning:\n"
        "    space:\n"
        "      model.dim: {choice: [8, 16, 32]}\n"
        "      model.hidden: {choice: [[64], [256, 256]]}\n"
        "      training.table_learning_rate: {float: [1.0e-3, 0.1], log: true}\n"
        "      training.epochs: {int: [1, 4]}\n"
        "A model function may ask for values itself: def my_model(index, hp): … hp.Int('units', 16, 256)"
    ),
    examples=(
        "ctrkit tune experiment=criteo",
        "ctrkit tune experiment=movielens tuning=hyperband tuning.minutes=30",
        "ctrkit tune experiment=movielens tuning=random tuning.trials=40 tuning.workers=2",
        "ctrkit tune experiment=criteo 'tuning.space={model.dim:[8,16],model.l2:{float:[1e-6,1e-2],log:true}}'",
        "ctrkit tune experiment=mine model=custom model._target_=my_models.my_model",
    ),
    keys={
        **WHERE,
        "tuning=METHOD": "bayesian (the default), random, hyperband or grid",
        "tuning.objective=METRIC": "auc, grouped_auc, log_loss or pcoc_distance, of the validation part",
        "tuning.space={KEY:VALUES,..}": "{choice:[..]}, {int:[low,high]} or {float:[low,high],log:true}; joins the\n"
        + " " * 36
        + "experiment's space, and null takes a key out of it",
        "tuning.trials=N": "budget: trials (20); null for no limit",
        "tuning.minutes=N": "budget: minutes of searching",
        "tuning.rows=N": "budget: training rows of all trials together",
        "tuning.workers=N": "processes that train side by side, by keras-tuner's chief and workers",
        "tuning.prune=false": "train every trial to its end",
        "tuning.finalists=N": "train the best N with tuning.finalist_seeds seeds; the best mean wins",
        "tuning.name=NAME|new": "which search; by default the one that these words began",
        "tuning.validation=SHARE": "held out where the experiment holds out no validation part (0.1)",
        "force=true": "replace an experiment file that was changed by hand",
    },
    groups=("experiment", "tuning", "model", "training", "data"),
    flags={"tuning.space": "++tuning.space"},  # Hydra would refuse a key that the experiment's space does not have.
)
