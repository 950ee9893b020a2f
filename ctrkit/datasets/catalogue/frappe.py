"""Frappe: context-aware use of mobile apps."""

from __future__ import annotations

from ctrkit.datasets.catalogue.entry import Entry, SourceFile

FRAPPE = Entry(
    name="frappe",
    title="Frappe",
    summary="Which apps 957 people used in which context; negatives are sampled beside the logged uses.",
    rows="96,203 uses of 4,082 apps",
    label="used (1: logged, 0: sampled)",
    splits="none; rows are held out at random",
    licence="none is published: for research; ask the authors for any other use",
    citation="""@article{baltrunas2015frappe,
  title = {Frappe: Understanding the Usage and Perception of Mobile App Recommendations In-The-Wild},
  author = {Baltrunas, Linas and Church, Karen and Karatzoglou, Alexandros and Oliver, Nuria},
  journal = {CoRR},
  volume = {abs/1505.03014},
  year = {2015}
}""",
    homepage="https://www.baltrunas.info/context-aware",
    download="fetch the data set from the home page and unpack it",
    files=(SourceFile(names=("frappe.csv",), what="tab-separated with a header, all values text"),),
    columns="user, item, cnt, daytime, weekday, isweekend, homework, cost, weather, country, city",
)
