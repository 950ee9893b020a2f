"""MIND: Microsoft's news recommendations."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Archive, Entry, SourceFile

MIND = Entry(
    name="mind",
    title="MIND, the Microsoft News Dataset",
    summary="News shown on Microsoft News: impressions with clicks, users' earlier clicks, and the news' categories.",
    rows="MIND-small: 5,843,444 shown news in train, 2,740,998 in dev; MIND: 15 million impressions of a million users",
    label="clicked",
    splits="train and dev (MIND's test has no labels): dev is the test part, the last of train validates",
    licence="Microsoft Research License Terms: research only",
    citation="""@inproceedings{wu-etal-2020-mind,
  title = {{MIND}: A Large-scale Dataset for News Recommendation},
  author = {Wu, Fangzhao and Qiao, Ying and Chen, Jiun-Hung and Wu, Chuhan and Qi, Tao and Lian, Jianxun and
            Liu, Danyang and Xie, Xing and Gao, Jianfeng and Wu, Winnie and Zhou, Ming},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  pages = {3597--3606},
  year = {2020}
}""",
    homepage="https://msnews.github.io",
    download="accept the terms at the home page, fetch train and dev, unpack them into train/ and dev/",
    files=(
        SourceFile(names=("train/behaviors.tsv",), what="impression, user, time, history, shown news (ID-0 or ID-1)"),
        SourceFile(names=("train/news.tsv",), what="news id, category, subcategory, title, abstract, URL, entities"),
        SourceFile(names=("dev/behaviors.tsv",), what="as of train, of the day after", needed=False),
        SourceFile(names=("dev/news.tsv",), what="as of train", needed=False),
    ),
    columns="see the files; a row of the log is one shown news, with the user's history and the news' categories",
    archives=(Archive(name="MINDsmall_train.zip"), Archive(name="MINDsmall_dev.zip")),
)
