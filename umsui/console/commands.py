"""The command palette, made from the registry of actions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from umsui.console import keymap

if TYPE_CHECKING:
    from umsui.console.app import Console


def _text(action: keymap.Action) -> str:
    return f"{action.short}: {action.help}" + (f"  ({action.key})" if action.key else "")


class ActionCommands(Provider):
    """Every action that the screen in front can do, and those of the app."""

    def _actions(self) -> list[keymap.Action]:
        scope = str(getattr(self.screen, "SCOPE", ""))
        actions = cast("Console", self.app).keys.available(scope)
        return [action for action in actions if action.name != "command_palette"]

    async def discover(self) -> Hits:
        """All of them."""
        for action in self._actions():
            yield DiscoveryHit(_text(action), partial(self.screen.run_action, action.call))

    async def search(self, query: str) -> Hits:
        """Those whose words fit."""
        matcher = self.matcher(query)
        for action in self._actions():
            text = _text(action)
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, matcher.highlight(text), partial(self.screen.run_action, action.call))
