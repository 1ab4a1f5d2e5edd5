"""The client for event loops."""

from __future__ import annotations

import asyncio

import pytest

from umsui.coordinator import async_client


async def test_a_cancellation_that_comes_with_the_data_is_not_lost() -> None:
    reader = asyncio.StreamReader()
    waiting = asyncio.create_task(async_client._within(10.0, reader))
    await asyncio.sleep(0)
    reader.feed_data(b"data: 1\n")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
