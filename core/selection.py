"""The former name of `core.proportions`."""

from core.proportions import Interval as Interval
from core.proportions import McNemar as McNemar
from core.proportions import mcnemar as mcnemar
from core.proportions import wilson_interval as wilson_interval
