"""MovieLens in three sizes; the checksums of the archives are those that tensorflow-datasets pins."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Archive, Entry, SourceFile

_LICENCE = "GroupLens' terms: research, no redistribution and no commercial use without permission"
_CITATION = """@article{harper2015movielens,
  author = {Harper, F. Maxwell and Konstan, Joseph A.},
  title = {The MovieLens Datasets: History and Context},
  journal = {ACM Transactions on Interactive Intelligent Systems},
  volume = {5},
  number = {4},
  articleno = {19},
  year = {2015},
  doi = {10.1145/2827872}
}"""
_LAST = "each user's last ratings are held out"
_FILES = "https://files.grouplens.org/datasets/movielens"

MOVIELENS = Entry(
    name="movielens",
    title="MovieLens 1M",
    summary="Does a user like a movie, given what the user liked and disliked before?",
    rows="1,000,209 ratings of 3,706 movies by 6,040 users",
    label="rating >= 4",
    splits=f"none; {_LAST}",
    licence=_LICENCE,
    citation=_CITATION,
    homepage="https://grouplens.org/datasets/movielens/1m/",
    download="fetch ml-1m.zip and unpack it",
    files=(
        SourceFile(names=("ratings.csv", "ratings.dat"), what="UserID::MovieID::Rating::Timestamp"),
        SourceFile(names=("users.dat",), what="UserID::Gender::Age::Occupation::Zip-code"),
        SourceFile(names=("movies.dat",), what="MovieID::Title (year)::Genres joined by '|', in Latin-1"),
    ),
    columns="see the files; histories and shares of likes are added, of strictly earlier ratings",
    archives=(
        Archive(
            name="ml-1m.zip",
            url=f"{_FILES}/ml-1m.zip",
            bytes=5_917_549,
            sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        ),
    ),
    folders=("ml-1m",),
)
MOVIELENS_100K = Entry(
    name="movielens_100k",
    title="MovieLens 100K",
    summary="The small MovieLens, of 1998, with the users' ages and occupations.",
    rows="100,000 ratings of 1,682 movies by 943 users",
    label="rating >= 4",
    splits=f"u1 to u5 (five folds), ua and ub (ten ratings a user); they cut across time, so instead {_LAST}",
    licence=_LICENCE,
    citation=_CITATION,
    homepage="https://grouplens.org/datasets/movielens/100k/",
    download="fetch ml-100k.zip and unpack it",
    files=(
        SourceFile(names=("u.data",), what="tab-separated: user id, item id, rating, timestamp"),
        SourceFile(names=("u.user",), what="user id|age|gender|occupation|zip code"),
        SourceFile(names=("u.item",), what="movie id|title|release date|video date|URL|19 flags of genres, in Latin-1"),
    ),
    columns="see the files; histories and shares of likes are added, of strictly earlier ratings",
    archives=(
        Archive(
            name="ml-100k.zip",
            url=f"{_FILES}/ml-100k.zip",
            bytes=4_924_029,
            sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        ),
    ),
    folders=("ml-100k",),
)
MOVIELENS_20M = Entry(
    name="movielens_20m",
    title="MovieLens 20M",
    summary="Half-star ratings from 1995 to 2015; no attributes of the users.",
    rows="20,000,263 ratings of 27,278 movies by 138,493 users",
    label="rating >= 4",
    splits=f"none; {_LAST}",
    licence=_LICENCE,
    citation=_CITATION,
    homepage="https://grouplens.org/datasets/movielens/20m/",
    download="fetch ml-20m.zip and unpack it",
    files=(
        SourceFile(names=("ratings.csv",), what="userId,movieId,rating,timestamp with a header, sorted by user"),
        SourceFile(names=("movies.csv",), what="movieId,title,genres with a header, quoted where needed"),
    ),
    columns="see the files; histories and shares of likes are added, of strictly earlier ratings",
    archives=(
        Archive(
            name="ml-20m.zip",
            url=f"{_FILES}/ml-20m.zip",
            bytes=198_702_078,
            sha256="96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
        ),
    ),
    folders=("ml-20m",),
)
