"""Remembers every branch that was ever made."""

from worldweave import CosmosBranch

MADE = []


class Remembered(CosmosBranch):
    def __init__(self, config):
        super().__init__(config)
        MADE.append(self)
