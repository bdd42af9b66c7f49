"""Where a thing will be: a Kalman filter of its centre at constant velocity, for frames at any times."""

from __future__ import annotations

from math import sqrt

# All in sizes of the thing, a size being the square root of its area; so one setting fits near and far things, and the
# variances are the same for both directions.
_PLACE = 0.15  # standard deviation of where a detector says that the centre is
_SPEED = 4.0  # standard deviation of the speed a second of a thing that is seen for the first time
_ACCELERATION = 2.0  # variance that a second adds to the speed


class Motion:
    """The centre x, y of one thing, and how sure it is. Lengths in any one unit."""

    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y
        self._speed_x = self._speed_y = 0.0
        self._place, self._both, self._speed = _PLACE**2, 0.0, _SPEED**2

    def advance(self, seconds: float) -> None:
        """Move on in time."""
        self.x += self._speed_x * seconds
        self.y += self._speed_y * seconds
        self._place += (2 * self._both + self._speed * seconds) * seconds + _ACCELERATION * seconds**3 / 3
        self._both += self._speed * seconds + _ACCELERATION * seconds**2 / 2
        self._speed += _ACCELERATION * seconds

    def deviation(self) -> float:
        """How far from here a detector may see it, as a standard deviation in sizes of the thing."""
        return sqrt(self._place + _PLACE**2)

    def correct(self, x: float, y: float) -> None:
        """Take in where it was seen."""
        spread = self._place + _PLACE**2
        place_gain, speed_gain = self._place / spread, self._both / spread
        off_x, off_y = x - self.x, y - self.y
        self.x += place_gain * off_x
        self.y += place_gain * off_y
        self._speed_x += speed_gain * off_x
        self._speed_y += speed_gain * off_y
        self._speed -= speed_gain * self._both
        self._both -= place_gain * self._both
        self._place -= place_gain * self._place
