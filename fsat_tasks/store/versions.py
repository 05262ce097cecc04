"""Versions of the recipes. Raise a version if a change of the code changes what the step writes for the same inputs.

dvc.yaml reads this file. A stage runs again if the version of one of its recipes was raised. No other change of
the code makes a stage run again.
"""

POOL = 2
VALIDATE = 11

ENCODER = 4
ENCODER_INT8 = 3
PRECISION = 2
ROWS = 2
SEGMENT = 1
EXTRACT = 4

TUNE = 17
EVALUATE = 11
EXPORT = 15
PUBLISH = 13

APPLY = 5
WATCH = 4
ALARM = 2
STRINGS = 3
