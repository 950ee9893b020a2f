"""Open Bandit: logged recommendations with the probability of each."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Entry, SourceFile

OPEN_BANDIT = Entry(
    name="open_bandit",
    title="Open Bandit Dataset (ZOZOTOWN)",
    summary="Fashion items recommended at random or by a bandit, each with the probability that it was chosen.",
    rows="about 26 million in six parts: two policies by three campaigns, seven days in November 2019",
    label="click",
    splits="none; rows are held out by time",
    licence="CC BY 4.0",
    citation="""@article{saito2020open,
  title = {Open Bandit Dataset and Pipeline: Towards Realistic and Reproducible Off-Policy Evaluation},
  author = {Saito, Yuta and Shunsuke, Aihara and Megumi, Matsutani and Yusuke, Narita},
  journal = {arXiv preprint arXiv:2008.07146},
  year = {2020}
}""",
    homepage="https://research.zozo.com/data.html",
    download="fetch open_bandit_dataset.zip from the home page and unpack it",
    files=(
        SourceFile(
            names=("random/all/all.csv",),
            what="the rows of a policy (random, bts) and a campaign (all, men, women): POLICY/CAMPAIGN/CAMPAIGN.csv",
        ),
        SourceFile(names=("random/all/item_context.csv",), what="item_id, item_feature_0 to 3, beside each campaign"),
    ),
    columns=(
        "(row number), timestamp, item_id, position, click, propensity_score, user_feature_0 to 3, "
        "user-item_affinity_0 to the number of items"
    ),
    folders=("open_bandit_dataset",),
)
