"""Taobao's user behaviour."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Archive, Entry, SourceFile

TAOBAO = Entry(
    name="taobao",
    title="User Behavior Data from Taobao",
    summary="What a million users looked at, put into the cart, marked and bought, November 25 to December 3, 2017.",
    rows="100,150,807 of 987,994 users, 4,162,024 items and 9,439 categories",
    label="behavior in [cart, fav, buy]: does a user do more than look?",
    splits="none; rows are held out by time",
    licence="Tianchi's terms, accepted at the download: research",
    citation="""@inproceedings{zhu2018learning,
  title = {Learning Tree-based Deep Model for Recommender Systems},
  author = {Zhu, Han and Li, Xiang and Zhang, Pengye and Li, Guozheng and He, Jie and Li, Han and Gai, Kun},
  booktitle = {Proceedings of the 24th ACM SIGKDD International Conference on Knowledge Discovery and Data Mining},
  pages = {1079--1088},
  year = {2018}
}""",
    homepage="https://tianchi.aliyun.com/dataset/649",
    download="sign in at the home page, fetch UserBehavior.csv.zip and unpack it",
    files=(SourceFile(names=("UserBehavior.csv",), what="comma-separated without a header"),),
    columns="user id, item id, category id, behavior (pv, buy, cart, fav), timestamp (seconds)",
    archives=(Archive(name="UserBehavior.csv.zip"),),
)
