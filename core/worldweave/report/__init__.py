"""Show what a run did: one web page that needs nothing but itself."""

from worldweave.report.page import render, write
from worldweave.report.run import RunReport

__all__ = ["RunReport", "render", "write"]
