"""Runs checks one after the other, each bounded in time, and keeps one finding a rule. Knows no rule's content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Literal

from microclaw.errors import DeviceUnreachable
from microclaw.link_check.report import Finding, RuleBroken, RuleNotTried, broken
from microclaw.link_check.rules import RULES

CHECK_S: Final = 60.0
SLOW_CHECK_S: Final = 120.0
IN_ALL_S: Final = 600.0


class Findings:
    """The findings of one run. `told` is called with each as it is found."""

    def __init__(
        self,
        keeper: Literal["host", "device"],
        told: Callable[[Finding], None],
        *,
        only: Collection[str] = (),
        with_slow: bool = False,
        in_all_s: float = IN_ALL_S,
    ) -> None:
        self.keeper = keeper
        self.with_slow = with_slow
        self._only = frozenset(only)
        self._told = told
        self._found: dict[str, Finding] = {}
        self._until_s = time.monotonic() + in_all_s

    @property
    def all(self) -> list[Finding]:
        """In the order of the page."""
        return [self._found[rule.rule_id] for rule in RULES if rule.rule_id in self._found]

    def wants(self, rule_id: str) -> bool:
        return not self._only or rule_id in self._only

    def add(self, finding: Finding) -> None:
        """The first broken finding of a rule stays; others give way to it."""
        if not self.wants(finding.rule_id) and finding.verdict != "broken":
            return
        before = self._found.get(finding.rule_id)
        if before is None or (finding.verdict == "broken" and before.verdict != "broken"):
            self._found[finding.rule_id] = finding
            self._told(finding)

    async def run(
        self,
        rule_id: str,
        check: Callable[[], Awaitable[None]],
        *,
        is_slow: bool = False,
        is_needed: bool = False,
        limit_s: float = CHECK_S,
    ) -> None:
        """Try one rule, once. One that `is_needed` by others is tried although it is not wanted, and told then only
        when it is broken."""
        if rule_id in self._found or not (is_needed or self.wants(rule_id)):
            return
        left_s = self._until_s - time.monotonic()
        if is_slow and not self.with_slow:
            self.add(Finding(rule_id, "not tried", why="it takes up to a minute: add --slow"))
            return
        if left_s <= 0:
            self.add(Finding(rule_id, "not tried", why="the time is over"))
            return
        limit_s = min(left_s, SLOW_CHECK_S if is_slow else limit_s)
        try:
            async with asyncio.timeout(limit_s):
                await check()
        except RuleBroken as exc:
            self.add(broken(rule_id, exc))
        except RuleNotTried as exc:
            self.add(Finding(rule_id, "not tried", why=str(exc)))
        except DeviceUnreachable as exc:
            self.add(broken(rule_id, RuleBroken("a connection", exc.message)))
        except TimeoutError:  # before OSError, which it is one of
            self.add(broken(rule_id, RuleBroken("what this rule is about", f"no end within {limit_s:.0f} s")))
        except OSError as exc:
            self.add(broken(rule_id, RuleBroken("a connection", str(exc) or type(exc).__name__)))
        else:
            self.add(Finding(rule_id, "kept"))

    async def run_all(self, checks: Mapping[str, Callable[[], Awaitable[None]]], *, slow: Collection[str] = ()) -> None:
        for rule_id, check in checks.items():
            await self.run(rule_id, check, is_slow=rule_id in slow)

    def finish(self, why: str) -> None:
        """Say of every rule that was not come to that it was not tried."""
        for rule in RULES:
            if self.wants(rule.rule_id) and rule.is_for(self.keeper) and rule.rule_id not in self._found:
                self.add(Finding(rule.rule_id, "not tried", why=rule.untried or why))
