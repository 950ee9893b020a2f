"""KDD Cup 2012, track 2: ads beside the results of a search engine."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Entry, SourceFile

KDD12 = Entry(
    name="kdd12",
    title="KDD Cup 2012, track 2 (Tencent soso.com)",
    summary="Search ads: who asked what and was shown which ad where. A line counts impressions and clicks alike.",
    rows="149,639,105 lines for training (up to two weighted rows each), 20,297,594 for test without labels",
    label="clicked, weighted by how often (weight)",
    splits="training.txt and test.txt; the test file has no clicks, so that training lines are held out at random",
    licence="the rules of KDD Cup 2012, accepted at the download: research, no redistribution",
    citation="""@misc{kddcup2012-track2,
  author = {{Tencent Inc.}},
  title = {KDD Cup 2012, Track 2},
  year = {2012},
  howpublished = {Kaggle},
  url = {https://www.kaggle.com/c/kddcup2012-track2}
}""",
    homepage="https://www.kaggle.com/c/kddcup2012-track2",
    download="accept the rules at https://www.kaggle.com/c/kddcup2012-track2/data, fetch track2.zip, unpack it",
    files=(
        SourceFile(names=("training.txt",), what="tab-separated without a header: the lines"),
        SourceFile(names=("userid_profile.txt",), what="UserID, gender (1 male, 2 female, 0 untold), age (1 to 6)"),
        SourceFile(names=("queryid_tokensid.txt",), what="QueryID, its words' numbers joined by '|'"),
        SourceFile(names=("purchasedkeywordid_tokensid.txt",), what="KeywordID, its words' numbers"),
        SourceFile(names=("titleid_tokensid.txt",), what="TitleID, its words' numbers"),
        SourceFile(names=("descriptionid_tokensid.txt",), what="DescriptionID, its words' numbers"),
    ),
    columns=(
        "Click, Impression, DisplayURL, AdID, AdvertiserID, Depth, Position, QueryID, KeywordID, TitleID, "
        "DescriptionID, UserID"
    ),
    folders=("track2",),
)
