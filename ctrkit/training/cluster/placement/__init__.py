"""Which parameter server holds what: sizes, traffic, plans, and the plan that every task computes alike."""
