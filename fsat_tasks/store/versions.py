"""Versions of the recipes. Raise one if a change of the code changes what its step writes for the same inputs.

dvc.yaml reads this file. A stage runs again if the version of one of its recipes was raised. Other changes of
the code do not make it run again.
"""

POOL = 1
VALIDATE = 6

ENCODER = 3
ENCODER_INT8 = 1
PRECISION = 2
ROWS = 2
SEGMENT = 1
EXTRACT = 3

TUNE = 11
EVALUATE = 7
EXPORT = 8
PUBLISH = 6

APPLY = 1
WATCH = 1
ALARM = 2
STRINGS = 1
