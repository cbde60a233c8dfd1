"""The exceptions that cross package borders; everything else is a bug and keeps its traceback."""


class UserError(Exception):
    """Something that the user can mend: a config key, a missing file, a missing tool.

    The message is one line that names the key and the bad value; ``remedy`` is one line that says what to do.
    The command line prints both and exits with code 2.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)  # both, so that it can be sent between processes
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n       {self.remedy}"


class BackendError(Exception):
    """The backend failed for good; what was collected before is kept. The command line exits with code 3."""


class MissingError(UserError):
    """Something that one benchmark needs is not there: data, a tool, a capability of the backend.

    Named by the user, the benchmark stops the run like any other user error; as part of a suite, its row becomes a
    dash with this reason and the rest runs (unless ``strict=true``).
    """


class BudgetError(UserError):
    """The budget is spent: the run stops cleanly, and goes on when it is raised."""
