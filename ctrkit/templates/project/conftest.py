"""Lets the tests import this folder's models.py: pytest puts the folder of a conftest.py on the path."""
