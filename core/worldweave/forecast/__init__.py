"""What a generation will take, told before anything heavy: without any weights."""

from worldweave.forecast.machine import process_bytes
from worldweave.forecast.whole import Forecast, forecast

__all__ = ["Forecast", "forecast", "process_bytes"]
