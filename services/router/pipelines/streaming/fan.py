"""From one source to all that take its items."""

from __future__ import annotations

from services.router.pipelines.streaming.channel import Channel

# Items that may wait for one taker.
BUFFER = 4

# An item: what the expressions of its taker see.
Item = dict[str, object]


class Fan:
    """Gives each item to each taker, in order. The slowest holds all back."""

    def __init__(self) -> None:
        self._readers: list[Channel[Item]] = []
        self._writers: list[Channel[Item]] = []

    def reader(self) -> Channel[Item]:
        """The items for a taker that leaves them as they are."""
        self._readers.append(Channel(BUFFER))
        return self._readers[-1]

    def writer(self) -> Channel[Item]:
        """The items for a taker that adds to them."""
        self._writers.append(Channel(BUFFER))
        return self._writers[-1]

    async def put(self, item: Item) -> None:
        """Give an item to all. It is theirs from then on."""
        for channel in self._readers:
            await channel.put(item)
        if self._writers:
            *others, last = self._writers
            for channel in others:
                await channel.put(item.copy())
            await last.put(item)

    def close(self) -> None:
        """No more items come."""
        for channel in (*self._readers, *self._writers):
            channel.close()
