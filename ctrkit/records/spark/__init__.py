"""The engine for a cluster: Spark runs this package's own parser, counting and block encoder on its executors.

Read `engine` first. `session` alone names pyspark; all else is given data frames and plain functions.
"""
