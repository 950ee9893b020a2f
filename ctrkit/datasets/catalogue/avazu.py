"""Avazu's click-through rate prediction challenge."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Entry, SourceFile

AVAZU = Entry(
    name="avazu",
    title="Avazu Click-Through Rate Prediction (Kaggle 2014)",
    summary="Mobile ads on sites and in apps over ten days, all columns categories; clicks and non-clicks subsampled.",
    rows="40,428,967 with labels (October 21 to 30, 2014); 4,577,464 of the day after without",
    label="click",
    splits="train and test by time; the test file has no labels, so that the last rows of train are held out, by time",
    licence="Kaggle's competition rules: for the competition and academic research",
    citation="""@misc{avazu-ctr-prediction,
  author = {Wang, Steve and Cukierski, Will},
  title = {Click-Through Rate Prediction},
  year = {2014},
  howpublished = {Kaggle},
  url = {https://kaggle.com/competitions/avazu-ctr-prediction}
}""",
    homepage="https://www.kaggle.com/c/avazu-ctr-prediction",
    download="accept the rules at https://www.kaggle.com/c/avazu-ctr-prediction/data and fetch train.gz",
    files=(
        SourceFile(names=("train.gz", "train.csv", "train"), what="comma-separated with a header, in order of time"),
    ),
    columns=(
        "id, click, hour (YYMMDDHH, UTC), C1, banner_pos, site_id, site_domain, site_category, app_id, app_domain, "
        "app_category, device_id, device_ip, device_model, device_type, device_conn_type, C14 to C21"
    ),
)
