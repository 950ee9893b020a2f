"""What the names of columns tell: words that click logs use for the same things."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CLICKED = _words(
    """
    label target click clicked clicks clk y converted conversion response purchase purchased bought installed
    install liked like used churn churned subscribed engaged
    """
)
OUTCOME = _words(
    """
    outcome class result success income salary status
    """
)
RATING = _words(
    """
    rating ratings stars star score grade
    """
)
EVENT = _words(
    """
    event action behavior behaviour activity interaction feedback
    """
)
POSITIVE_EVENTS = _words(
    """
    click clicked clk buy bought purchase purchased order like liked cart convert converted install subscribe
    """
)
TIME = _words(
    """
    time timestamp ts datetime date day hour when created occurred epoch clock at utc
    """
)
USER = _words(
    """
    user users uid userid member memberid customer customerid client visitor person account buyer viewer reader
    audience consumer
    """
)
DEVICE = _words("cookie device ip session")  # Stands for a person where no column does.
ITEM = _words(
    """
    ad ads adid item itemid movie movieid product productid creative article news video song track doc document
    offer sku campaign campaignid advertiser brand title category publisher seller shop price genre genres topic
    adgroup banner cate
    """
)
OF_USER = _words(
    """
    age gender sex occupation education marital zip zipcode region segment tenure history clicked liked disliked
    viewed watched bought recent earlier interests profile birth nationality native race relationship
    """
)
OF_CONTEXT = _words(
    """
    hour weekday day daytime week weekend isweekend month site page app device slot position pos os platform
    browser network connection weather country city homework placement referrer query search session ip model
    carrier language locale screen layout
    """
)
CLASS = _words(
    """
    occupation education marital gender sex region state country city weather site app page device os browser network
    carrier model slot position weekday day hour month week genre topic category brand advertiser publisher segment
    language platform type kind class status seller shop campaign
    """
)
IDENTIFIER = _words(
    """
    id ids uid key code hash guid uuid zip zipcode postcode ip number no nr index
    """
)
AMOUNT = _words(
    """
    count cnt num n price amount age score rate ratio share duration seconds minutes days length size weight
    distance total sum avg mean gain loss hours views clicks impressions bid cost budget width height year
    """
)
WEIGHT = frozenset({"sample_weight", "row_weight", "importance_weight", "instance_weight"})
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words_of(name: str) -> tuple[str, ...]:
    """The words a name consists of, in lower case.

    >>> words_of("clickedAd_ID2")
    ('clicked', 'ad', 'id', '2')
    """
    return tuple(part.lower() for part in _PARTS.findall(name))


def speaks_of(name: str, words: frozenset[str]) -> bool:
    """Whether one of a name's words is one of these."""
    return bool(words & {*words_of(name), name.lower()})


def is_identifier(name: str) -> bool:
    """Whether a number of this name is a name of something, not an amount."""
    return bool(IDENTIFIER & set(words_of(name))) or name.lower().endswith(("id", "_no"))


def feature_name(column: str) -> str:
    """A column's name as a feature may have it.

    >>> feature_name("Price (USD)"), feature_name("2nd")
    ('Price_USD', 'c_2nd')
    """
    name = re.sub(r"[^A-Za-z0-9_]+", "_", column).strip("_") or "column"
    return name if not name[0].isdigit() else f"c_{name}"
