import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import guarded, main
from harness.errors import BackendError, UserError


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_users_mistake_is_two_lines_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("eval", "limt=3") == 2
    assert capsys.readouterr().err.startswith("error: unknown key limt.\n       Did you mean limit")


def test_exit_codes_of_failures(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> int:
        def verb() -> int:
            raise error

        return guarded(verb)

    assert fail(UserError("a", "b")) == 2
    assert fail(BackendError("gone")) == 3
    assert fail(KeyboardInterrupt()) == 130
    assert "the same command goes on" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())


def test_full_tracebacks_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError):
        main(["eval", "limt=3"])


def test_folders_that_are_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("table", str(tmp_path)) == 2
    assert exit_code("score", str(tmp_path)) == 2
    assert "is not a run" in capsys.readouterr().err


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("list", "benchmarks") == 0
    assert "gsm8k.exemplars=qwen|wei" in capsys.readouterr().out
    assert exit_code("list", "backends") == 0
    assert "torch" in capsys.readouterr().out.split()
    assert exit_code("list", "suites") == 0
    assert "quickstart" in capsys.readouterr().out
    assert exit_code("list", "tasks") == 0
    names = capsys.readouterr().out.split()
    assert "mmlu_question" in names
    assert "arc_challenge" in names


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\ntry:\n    from harness.cli import main\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "names = {'torch', 'transformers', 'datasets', 'pandas', 'hydra', 'lm_eval', 'numpy', 'rich'}\n"
        "heavy = names & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "eval" in done.stdout
    assert "compare" in done.stdout
