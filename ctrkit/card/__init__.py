"""A run's card as one page that a person reads: plain values in, HTML out."""

from ctrkit.card.page import card_page

__all__ = ["card_page"]
