"""Versions of the recipes. Raise a version if a change of the code changes what the step writes for the same inputs.

dvc.yaml reads this file. A stage runs again if the version of one of its recipes was raised. No other change of
the code makes a stage run again.
"""

POOL = 2
VALIDATE = 7

ENCODER = 3
ENCODER_INT8 = 1
PRECISION = 2
ROWS = 2
SEGMENT = 1
EXTRACT = 3

TUNE = 13
EVALUATE = 9
EXPORT = 10
PUBLISH = 8

APPLY = 1
WATCH = 2
ALARM = 2
STRINGS = 1
