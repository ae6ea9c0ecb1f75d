"""Modalities and bases that ship with worldweave, written as a third party would."""
