"""The errors users can meet: a small tree, each with words for people, a code for scripts and a fix."""

from __future__ import annotations

from umsui.model import Exit, Failure


class UmsuiError(Exception):
    """Something that an operator must be told: what happened (``message``), and how to mend it (``fix``).

    ``code`` is a stable word for scripts, ``exit`` the CLI's exit code, ``step`` the migration's step ("" outside one).
    """

    code = "failed"
    exit = Exit.ROLLED_BACK

    def __init__(self, message: str, fix: str = "", *, step: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.step = step
        if code:
            self.code = code

    def failure(self, step: str = "") -> Failure:
        """The contract's ``error`` object."""
        return Failure(step=self.step or step, code=self.code, message=self.message, fix=self.fix)


class BadInput(UmsuiError):
    """The request itself is wrong: unknown service, ambiguous name, same place, a malformed config."""

    code = "bad-input"
    exit = Exit.USAGE


class Refused(UmsuiError):
    """Preflight found something that blocks the migration; nothing was touched."""

    code = "refused"
    exit = Exit.REFUSED


class Unreachable(UmsuiError):
    """A cluster, a node or the coordinator cannot be reached, or lets us not in."""

    code = "unreachable"
    exit = Exit.UNREACHABLE


class HostKeyChanged(Unreachable):
    """A host's key is unknown, or not the one that is on record."""

    code = "host-key"


class TimedOut(Unreachable):
    """A remote call did not answer within its time."""

    code = "timed-out"


class NotLoggedIn(Unreachable):
    """A provider does not know us: there are no credentials, or they have expired or been revoked."""

    code = "expired"


class Forbidden(Unreachable):
    """A provider knows us and does not let us; the message names the permission."""

    code = "forbidden"


class Throttled(Unreachable):
    """A provider has been asked too often; ``until`` is the Unix time from which it answers again."""

    code = "throttled"

    def __init__(self, message: str, fix: str = "", *, until: float, step: str = "", code: str = "") -> None:
        super().__init__(message, fix, step=step, code=code)
        self.until = until


class CommandFailed(UmsuiError):
    """A command on a node ended with a non-zero status."""

    code = "command-failed"


class Cancelled(UmsuiError):
    """The operator cancelled the migration before its commit."""

    code = "cancelled"
    exit = Exit.CANCELLED


class Unknown(UmsuiError):
    """It cannot be told where the service runs; the operator must look."""

    code = "unknown-state"
    exit = Exit.UNKNOWN
